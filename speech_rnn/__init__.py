"""Teach a device a handful of words and trust it: Keras LSTM and GRU keyword spotting, the same in every form."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Detection",
    "DetectorConfig",
    "Prediction",
    "Recognizer",
    "SpeechRnnError",
    "Stream",
    "__version__",
    "accept_all",
    "load",
]

if TYPE_CHECKING:
    from speech_rnn.config import DetectorConfig
    from speech_rnn.errors import SpeechRnnError
    from speech_rnn.runtime import Prediction, Recognizer, load
    from speech_rnn.streaming import Detection, Stream, accept_all

_MODULES = {
    "Detection": "streaming",
    "DetectorConfig": "config",
    "Prediction": "runtime",
    "Recognizer": "runtime",
    "SpeechRnnError": "errors",
    "Stream": "streaming",
    "accept_all": "streaming",
    "load": "runtime",
}


def __getattr__(name: str) -> Any:
    """Load a module at the first use of what is in it, so that ``import speech_rnn`` costs nothing (PEP 562)."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"speech_rnn.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Teach a device a handful of words and trust it: Keras LSTM and GRU keyword spotting, the same in every form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Prediction", "Recognizer", "SpeechRnnError", "__version__", "load"]

if TYPE_CHECKING:
    from speech_rnn.errors import SpeechRnnError
    from speech_rnn.runtime import Prediction, Recognizer, load


def __getattr__(name: str) -> Any:
    """Load the runtime at its first use, so that ``import speech_rnn`` costs nothing (PEP 562)."""
    if name in {"Prediction", "Recognizer", "load"}:
        from speech_rnn import runtime

        return getattr(runtime, name)
    if name == "SpeechRnnError":
        from speech_rnn import errors

        return errors.SpeechRnnError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

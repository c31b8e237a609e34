"""Speech by flite's command (Debian: ``apt-get install flite``)."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from datasets.espeak import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Utterance:
    """What flite is asked to say, and how.

    Attributes:
        text: English.
        voice: ``kal16``, ``awb``, ``rms`` or ``slt``.
        stretch: how much longer than usual, 0.5 to 2.
        pitch: of the voice's own, 0.5 to 2.
    """

    text: str
    voice: str
    stretch: float
    pitch: float


# The mean pitch in Hz that each voice has by itself; rms takes no other.
_PITCH_HZ = {"kal16": 95.0, "awb": 140.0, "rms": 104.0, "slt": 168.0}


def found() -> bool:
    """Whether the command is there."""
    return shutil.which("flite") is not None


def version() -> str:
    """What the command calls its version, such as ``flite-2.2-current``."""
    text = subprocess.run(["flite", "--version"], capture_output=True, text=True, check=False).stdout
    return next((line.split()[1] for line in text.splitlines() if "version:" in line), "unknown")


def speak(utterance: Utterance) -> NDArray[np.float32]:
    """One utterance: float32 [samples] at 16 kHz, full scale ±1."""
    command = [
        *("flite", "-voice", utterance.voice),
        *("--setf", f"duration_stretch={utterance.stretch:.3f}"),
        *("--setf", f"int_f0_target_mean={_PITCH_HZ[utterance.voice] * utterance.pitch:.1f}"),
        *("-t", utterance.text, "-o", "/dev/stdout"),
    ]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    resampled: NDArray[np.float32] = soxr.resample(samples, rate, SAMPLE_RATE)
    return resampled

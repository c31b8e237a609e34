"""Speech by espeak-ng in this process, through ctypes: over a thousand words a second.

The library keeps state between utterances (wave phase, echo), which no call resets. So each voice speaks in a process
of its own, and what it says depends on its list of utterances alone.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

# espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What espeak-ng is asked to say, and how.

    Attributes:
        text: English.
        accent: a file of espeak-ng's ``lang/gmw``, such as ``en-US``.
        rate: words a minute, 80 to 450; 175 is usual.
        pitch: 0 to 99; 50 is usual.
        pitch_range: 0 to 99, 0 is monotone.
        seed: of the voice's own noise and jitter.
        max_s: spoken again, faster, where it takes longer than so many seconds.
    """

    text: str
    accent: str
    rate: int
    pitch: int
    pitch_range: int
    seed: int
    max_s: float = float("inf")


def version() -> str:
    """The version of the library, such as ``1.52.0``."""
    library = _library()
    library.espeak_Info.restype = ctypes.c_char_p
    text: bytes = library.espeak_Info(None)
    return text.decode().split()[0]


def variants() -> list[str]:
    """The names of all variants, sorted."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return sorted(file.name for file in folder.iterdir())


def speak(requests: Sequence[tuple[str, Sequence[Utterance]]], workers: int) -> Iterator[list[NDArray[np.float32]]]:
    """Have voices speak, each in a process of its own.

    Args:
        requests: for each voice its variant's name (``m1``) and what it says.
        workers: processes at a time; the result does not depend on it.

    Returns:
        For each request, in order, its utterances: float32 [samples] at 16 kHz, full scale ±1.
    """
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap(_speak_all, requests, chunksize=1)


def _library() -> ctypes.CDLL:
    # Only builders need the wheel.
    import espeakng_loader

    return ctypes.CDLL(espeakng_loader.get_library_path())


def _speak_all(request: tuple[str, Sequence[Utterance]]) -> list[NDArray[np.float32]]:
    import espeakng_loader

    variant, utterances = request
    library = _library()
    blocks: list[NDArray[np.int16]] = []

    def keep(samples: ctypes._Pointer[ctypes.c_short], n: int, _events: int | None) -> int:
        if samples and n > 0:
            blocks.append(np.ctypeslib.as_array(samples, (n,)).copy())
        return 0

    # Kept in a name: the library calls it as long as this function runs.
    callback = _CALLBACK(keep)
    rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _DONT_EXIT)
    if rate <= 0:
        raise RuntimeError(f"espeak-ng does not start with the data in {espeakng_loader.get_data_path()}")
    library.espeak_SetSynthCallback(callback)

    def say(utterance: Utterance, words_a_minute: int) -> NDArray[np.float32]:
        blocks.clear()
        # In process, a voice is the name of a file.
        voice = f"gmw/{utterance.accent}+{variant}"
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice!r}")
        parameters = {
            _RATE: words_a_minute,
            _VOLUME: 100,
            _PITCH: utterance.pitch,
            _RANGE: utterance.pitch_range,
        }
        for parameter, value in parameters.items():
            library.espeak_SetParameter(parameter, value, 0)
        # Jitter draws from the first, the Klatt synthesizer's noise from the second.
        library.espeak_ng_SetRandSeed(ctypes.c_long(utterance.seed))
        ctypes.CDLL(None).srand(utterance.seed)
        text = utterance.text.encode()
        library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
        if not blocks:
            raise RuntimeError(f"espeak-ng's voice {voice!r} says nothing for {utterance.text!r}")
        spoken = np.concatenate(blocks).astype(np.float32) / 32_768.0
        resampled: NDArray[np.float32] = soxr.resample(spoken, rate, SAMPLE_RATE)
        return resampled

    spoken_all = []
    for utterance in utterances:
        words_a_minute = utterance.rate
        spoken = say(utterance, words_a_minute)
        while trimmed_length(spoken) > utterance.max_s * SAMPLE_RATE and words_a_minute < 400:
            words_a_minute += 30
            spoken = say(utterance, words_a_minute)
        spoken_all.append(spoken)
    return spoken_all


def trimmed_length(samples: NDArray[np.float32]) -> int:
    """Samples from the first to the last within 40 dB of the peak."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return int(loud[-1] - loud[0] + 1) if len(loud) else 0

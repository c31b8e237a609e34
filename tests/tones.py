"""Words that are tones, said by many speakers: small enough to be learned in a second or two."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speech_rnn.config import (
    AugmentationSettings,
    FeatureSettings,
    ModelSettings,
    RunSettings,
    TaskSettings,
    TrainingSettings,
)
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.bending import Batch
from speech_rnn.data.clips import BACKGROUND_NOISE, Part
from speech_rnn.data.split import official_part
from speech_rnn.data.task import Items

RATE = 8_000
LENGTH = 2_000
NOISE_LENGTH = 30_000
WORDS = {"low": 300.0, "middle": 900.0, "high": 2_500.0}
SPEAKERS: dict[Part, int] = {"training": 14, "validation": 8, "testing": 4}

FEATURES = FeatureSettings(
    sample_rate=RATE,
    clip_length=LENGTH,
    n_fft=256,
    win_length=240,
    hop_length=128,
    n_mels=20,
    n_mfcc=13,
    f_max=3_800.0,
)


def speakers(part: Part, first: int = 0) -> list[str]:
    """Speakers whom the official rule puts into a part, counted from the ``first``."""
    found: list[str] = []
    number = first
    while len(found) < SPEAKERS[part]:
        name = f"{number:08x}"
        if official_part(f"{name}_nohash_0.wav") == part:
            found.append(name)
        number += 1
    return found


def write_tones(folder: Path, *, takes: int = 1, first_speaker: int = 0) -> Path:
    """A folder in the official layout: each speaker says each word at a pitch of their own, with noise."""
    rng = np.random.default_rng(first_speaker)
    noise = folder / BACKGROUND_NOISE / "white.wav"
    noise.parent.mkdir(parents=True)
    soundfile.write(noise, 0.1 * rng.standard_normal(NOISE_LENGTH), RATE, subtype="PCM_16")
    times = np.arange(LENGTH) / RATE
    for part in SPEAKERS:
        for speaker in speakers(part, first_speaker):
            for word, hz in WORDS.items():
                for take in range(takes):
                    tone = np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * times) * np.hanning(LENGTH)
                    sound = rng.uniform(0.1, 0.5) * tone + 0.01 * rng.standard_normal(LENGTH)
                    path = folder / word / f"{speaker}_nohash_{take}.wav"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    soundfile.write(path, sound, RATE, subtype="PCM_16")
    return folder


def tone_settings(
    cell: str = "gru", *, model: ModelSettings | None = None, training: TrainingSettings | None = None
) -> RunSettings:
    """A run on tones: two words, unknown and silence; every augmentation and dropout are on."""
    return RunSettings(
        features=FEATURES,
        task=TaskSettings(labels=("low", "high"), unknown_share=0.2, silence_share=0.5),
        augmentation=AugmentationSettings(
            shift_ms=10.0,
            room_probability=0.2,
            splice_probability=0.2,
            # A tone fills its clip: another beside it would be heard as long and as loud.
            neighbour_probability=0.0,
            snr_low_db=10.0,
            time_mask_frames=2,
            frequency_mask_mels=2,
        ),
        model=model or ModelSettings(cell=cell, units=10, layers=1, stack=2, dropout=0.2),
        training=training or TrainingSettings(epochs=8, batch_size=8, learning_rate=0.05),
    )


def small_settings(cell: str = "rnn", **training: Any) -> RunSettings:
    """A run of two epochs of three steps, through three steps of the cell; little is bent, and nothing learned."""
    settings = tone_settings(model=ModelSettings(cell=cell, units=4, layers=1, stack=4, dropout=0.2))
    return settings.changed(
        training=settings.training.changed(**{"epochs": 2, "batch_size": 24, **training}),
        augmentation=AugmentationSettings.off().changed(shift_ms=10.0),
    )


def interrupt(at_step: int) -> Callable[[BatchMaker, Items, Part, int], Batch]:
    """Batches as ever, and Ctrl-C while one of them is made; the first three are for the normalization."""
    batch, made = BatchMaker.batch, 0

    def interrupting(self: BatchMaker, items: Items, part: Part, epoch: int) -> Batch:
        nonlocal made
        made += part == "training"
        if made == at_step:
            signal.raise_signal(signal.SIGINT)
        return batch(self, items, part, epoch)

    return interrupting

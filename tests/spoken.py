"""Words of the embedded corpus, one after another, as a recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 16_000
CORPUS = Path(__file__).parent.parent / "datasets" / "corpus"


def spoken(words: Sequence[str], *, take: int = 0, lead_s: float = 0.5) -> NDArray[np.float32]:
    """Words in a faint noise, two seconds apart: float32 [samples] at 16 kHz.

    Args:
        words: of the corpus, as often as they shall be said.
        take: which of the recordings of a word.
        lead_s: seconds before the first.
    """
    index = json.loads((CORPUS / "index.json").read_text())
    files = {(one["part"], one["word"]): one for one in index["files"]}
    lead = int(lead_s * RATE)
    samples = np.random.default_rng(take).normal(0, 3e-4, lead + 2 * RATE * len(words)).astype(np.float32)
    for n, word in enumerate(words):
        file = files["testing", word]
        start, length = file["starts"][take], file["lengths"][take]
        sound, _ = soundfile.read(CORPUS / file["path"], start=start, frames=length, dtype="float32")
        clip = soxr.resample(sound, index["sample_rate"], RATE)
        at = lead + 2 * RATE * n
        samples[at : at + len(clip)] += clip[: len(samples) - at]
    return samples

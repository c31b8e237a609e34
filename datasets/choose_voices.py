"""Which espeak-ng variants are understood, and which sound alike: what the table in ``voices.py`` was made from.

    python -m datasets.choose_voices

A word is understood where its nearest neighbour, among the words of all variants that sound different, is the same
word. Variants sound alike where their MFCC differ by less than ``ALIKE`` on average.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from datasets import espeak
from datasets.voices import ACCENTS, ESPEAK_VARIANTS, WORDS
from speech_rnn.config import FeatureSettings
from speech_rnn.features import mfcc

SETTINGS = FeatureSettings()
N_FRAMES = 20
# Coefficient 0 is loudness.
COEFFICIENTS = slice(1, 13)
N_ACCENTS = 3
ALIKE = 8.0


def shape_of(spoken: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a word sounds like, whatever its length and level: float32 [N_FRAMES * coefficients]."""
    loud = np.flatnonzero(np.abs(spoken) > 0.02 * np.abs(spoken).max())
    word = spoken[max(0, loud[0] - SETTINGS.n_fft // 2) : loud[-1] + SETTINGS.n_fft // 2]
    word = word / np.sqrt(np.mean(np.square(word))) * 0.05
    frames = mfcc(word[np.newaxis], SETTINGS)[0, :, COEFFICIENTS]
    at = np.linspace(0.0, len(frames) - 1.0, N_FRAMES)
    columns = [np.interp(at, np.arange(len(frames)), column) for column in frames.T]
    return np.stack(columns).ravel().astype(np.float32)


def understood(shapes: NDArray[np.float32], words: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each row, whether the nearest row of another group is the same word: bool [rows]."""
    right = np.zeros(len(shapes), bool)
    squares = np.sum(np.square(shapes), axis=1)
    for group in np.unique(groups):
        inside, outside = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        distances = squares[outside] - 2.0 * shapes[inside] @ shapes[outside].T
        right[inside] = words[inside] == words[outside[np.argmin(distances, axis=1)]]
    return right


def main() -> None:
    """Print a line a variant, the least understood first."""
    variants = espeak.variants()
    part_of = {name: part for part, names in ESPEAK_VARIANTS.items() for name in names}
    said = [(accent, word) for accent in ACCENTS[:N_ACCENTS] for word in WORDS]
    requests = [(name, [espeak.Utterance(word, accent, 175, 50, 50, 1) for accent, word in said]) for name in variants]
    shapes = np.stack([[shape_of(x) for x in spoken] for spoken in espeak.speak(requests, os.cpu_count() or 1)])
    by_variant = shapes.reshape(len(variants), -1)
    apart = squareform(pdist(by_variant)) / np.sqrt(by_variant.shape[1])
    groups = fcluster(linkage(squareform(apart), "average"), ALIKE, "distance")
    words = np.tile([WORDS.index(word) for _, word in said], len(variants))
    right = understood(shapes.reshape(len(words), -1), words, np.repeat(groups, len(said)).astype(np.int64))
    shares = right.reshape(len(variants), -1).mean(axis=1)
    print("variant         part        understood  group  nearest (distance)")
    for i in np.argsort(shares, kind="stable"):
        near = int(np.argsort(apart[i])[1])
        name, part = variants[i], part_of.get(variants[i], "-")
        print(f"{name:15} {part:11} {shares[i]:9.1%} {groups[i]:7}  {variants[near]} ({apart[i, near]:.1f})")
    parts = np.array([part_of.get(name, "-") for name in variants])
    for part in ("validation", "testing"):
        others = apart[np.ix_(parts == part, (parts != part) & (parts != "-"))]
        nearest = others.min(axis=1)
        print(f"{part}: nearest voice of another part {nearest.min():.1f} away, {nearest.mean():.1f} on average")


if __name__ == "__main__":
    main()

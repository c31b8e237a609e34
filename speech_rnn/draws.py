"""Random draws by key, not by turn.

Every draw of the package comes from a generator made for one purpose and one key, such as (seed, epoch, clip). So a
clip is bent the same way whichever worker gets it, whatever came before it, and after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from operator import index
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


def generator(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """A generator whose draws depend on the arguments alone; making one takes a few microseconds.

    Args:
        seed: the run's seed.
        purpose: what is drawn ("noise", "shift"); draws for different purposes are independent.
        key: integers that say for whom: epoch, clip. Keys of different lengths are different keys.

    Returns:
        A generator over Philox 4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), keyed
        with 128 bits of BLAKE2b of the arguments.

    Raises:
        TypeError: a seed or key that is not an integer.

    >>> generator(1, "shift", 0, 7).random() == generator(1, "shift", 0, 7).random()
    True
    """
    numbers = ",".join([str(index(number)) for number in (seed, *key)])
    # The first bar ends the numbers, so no two lists of arguments give one text.
    digest = hashlib.blake2b(f"{numbers}|{purpose}".encode(), digest_size=16).digest()
    words = _Key(np.frombuffer(digest, "<u8"))
    return np.random.Generator(np.random.Philox(words))  # type: ignore[arg-type]  # documented, missing in numpy's stubs


def generators(seed: int, purpose: str, epoch: int, keys: NDArray[np.int64]) -> Iterator[np.random.Generator]:
    """A generator for each key; one object, set anew at each step, since making one costs five times as much.

    Args:
        seed: the run's.
        purpose: what is drawn.
        epoch: of the run.
        keys: int64 [clips].

    Yields:
        A generator at the beginning of the key's own 2**64 draws, valid until the next one is taken.
    """
    rng = generator(seed, purpose, epoch)
    philox = rng.bit_generator
    state = philox.state
    for key in keys.astype(np.uint64):
        state["state"]["counter"][1] = key
        philox.state = state
        yield rng


class _Key(ISeedSequence):
    """Hands its two words to Philox as they are: ``Philox(key=...)`` reads the system's entropy first (10 µs)."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint32 | np.uint64]:
        return self._words

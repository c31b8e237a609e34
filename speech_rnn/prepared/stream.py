"""Shards -> rows of features, as they come: tf.data reads, shuffles and thins; memory doesn't grow with the data.

The files of a part are dealt out to lanes. A lane reads its files again and again, in another order each time, and
what it gives depends on the seed, the epoch and the lane alone. So batches that are made of all lanes are the same
however many workers share the lanes, and each worker reads its own files only.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn import draws
from speech_rnn.errors import DataError

CHUNK = 256  # clips that are parsed at a time
OPEN_FILES = 4  # of a lane at a time
BLOCK = 16  # clips of a file in a row, before they are shuffled
KEY_STEP = 0x9E37_79B9_7F4A_7C15  # 2**64 over the golden ratio: keys of repeats lie far from all others
KEY_MASK = 2**63 - 1


@dataclass(frozen=True)
class Rows:
    """Clips out of shards.

    Attributes:
        log_mel: float16 [n, frames, n_mels], dB.
        keys: int64 [n], what draws for a clip are keyed by; of one that comes again, another one.
        words: int64 [n], numbers of the words.
    """

    log_mel: NDArray[np.float16]
    keys: NDArray[np.int64]
    words: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, some: slice) -> Rows:
        return Rows(self.log_mel[some], self.keys[some], self.words[some])

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """One behind the other."""
        return cls(
            np.concatenate([part.log_mel for part in parts]),
            np.concatenate([part.keys for part in parts]),
            np.concatenate([part.words for part in parts]),
        )


@dataclass(frozen=True)
class Wanted:
    """What is taken of shards.

    Attributes:
        shape: frames and bands of a clip.
        times: how often clips of a word are taken in a pass, by word; of a fraction each clip by its own luck. Clips of
            other words are left out.
        seed: of order and luck.
        shuffle: clips among which the next one is drawn; 0: they come in the order of the files.
    """

    shape: tuple[int, int]
    times: dict[str, float]
    seed: int
    shuffle: int = 0


class Lane:
    """An endless stream of clips out of some files, or a single pass."""

    def __init__(
        self, paths: Sequence[str], wanted: Wanted, *, number: int = 0, epoch: int = 0, passes: int | None = None
    ) -> None:
        """Begin.

        Args:
            paths: TFRecord files of a prepared data set.
            wanted: what is taken of them.
            number: of the lane.
            epoch: of the run.
            passes: how often the files are read; again and again where not given.
        """
        self._paths, self._wanted, self._number, self._epoch = list(paths), wanted, number, epoch
        self._chunks = self._all_chunks(passes)
        self._left: Rows | None = None

    def take(self, n: int) -> Rows:
        """The next ``n`` clips; fewer at the end of the last pass.

        Raises:
            DataError: a file is damaged, or none of its clips is wanted.
        """
        parts, missing = [], n
        while missing:
            if self._left is None or not len(self._left):
                self._left = next(self._chunks, None)
                if self._left is None:
                    break
            parts.append(self._left[:missing])
            self._left = self._left[missing:]
            missing -= len(parts[-1])
        if not parts:
            shape = (0, *self._wanted.shape)
            return Rows(np.empty(shape, np.float16), np.empty(0, np.int64), np.empty(0, np.int64))
        return parts[0] if len(parts) == 1 else Rows.joined(parts)

    def skip(self, n: int) -> None:
        """Leave out the next ``n`` clips."""
        while n:
            taken = len(self.take(min(n, CHUNK)))
            if not taken:
                return
            n -= taken

    def close(self) -> None:
        """Close the files."""
        self._chunks.close()

    def _all_chunks(self, passes: int | None) -> Generator[Rows]:
        for number in count() if passes is None else range(passes):
            found = False
            for chunk in self._pass(number):
                found = True
                yield chunk
            if not found and passes is None:
                raise DataError(
                    f"{self._paths[0]} and {len(self._paths) - 1} more files hold no clip of the words; prepare the "
                    "features in fewer shards, or choose other words"
                )

    def _pass(self, number: int) -> Iterator[Rows]:
        wanted = self._wanted
        rng = draws.generator(wanted.seed, "shards", self._epoch, self._number, number)
        order = rng.permutation(len(self._paths)) if wanted.shuffle else np.arange(len(self._paths))
        seeds = rng.integers(2**31, size=2)
        files = tf.data.Dataset.from_tensor_slices([self._paths[index] for index in order])
        records = files.interleave(
            tf.data.TFRecordDataset,
            cycle_length=OPEN_FILES if wanted.shuffle else 1,
            block_length=BLOCK,
        )
        if wanted.shuffle:
            records = records.shuffle(wanted.shuffle, seed=int(seeds[0]), reshuffle_each_iteration=False)
        # One thread a lane, that of the prefetch: parallel stages have some for each file.
        chunks = records.batch(CHUNK).enumerate().map(_Parse(wanted, int(seeds[1]))).prefetch(2)
        iterator = chunks.as_numpy_iterator()
        while True:
            try:
                log_mel, keys, words, copies = next(iterator)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                reason = " ".join(str(error.message).split())[:160]
                raise DataError(
                    f"the shards of {self._paths[0]} can't be read ({reason}); remove the folder and prepare anew"
                ) from None
            if len(keys):
                again = (copies.astype(np.uint64) + np.uint64(number << 20)) * np.uint64(KEY_STEP)
                keys = ((keys.astype(np.uint64) + again) & np.uint64(KEY_MASK)).astype(np.int64)
                yield Rows(log_mel, keys, words)


class _Parse:
    """Serialized examples -> log-mel frames, keys, numbers of words, and which copy of a clip each is."""

    def __init__(self, wanted: Wanted, seed: int) -> None:
        names = list(wanted.times)
        self._wanted, self._seed = wanted, seed
        self._numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(names, tf.string), tf.range(len(names), dtype=tf.int64)),
            default_value=len(names),
        )
        self._times = tf.constant([*wanted.times.values(), 0.0], tf.float32)

    def __call__(self, number: Any, serialized: Any) -> Any:
        scalar = {
            "log_mel": tf.io.FixedLenFeature([], tf.string),
            "key": tf.io.FixedLenFeature([], tf.int64),
            "word": tf.io.FixedLenFeature([], tf.string),
        }
        parsed = tf.io.parse_example(serialized, scalar)
        words = self._numbers.lookup(parsed["word"])
        luck = tf.random.stateless_uniform(tf.shape(words), [self._seed, tf.cast(number, tf.int32)])
        copies = tf.cast(tf.floor(tf.gather(self._times, words) + luck), tf.int32)
        kept = tf.repeat(tf.range(tf.size(words)), copies)
        first = tf.repeat(tf.cumsum(copies, exclusive=True), copies)
        frames = tf.io.decode_raw(tf.gather(parsed["log_mel"], kept), tf.float16)
        return (
            tf.reshape(frames, (-1, *self._wanted.shape)),
            tf.gather(parsed["key"], kept),
            tf.gather(words, kept),
            tf.range(tf.size(kept)) - first,
        )

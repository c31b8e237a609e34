"""Long streams with known words, put together by seed: words of the labels, other words, other languages, noise.

A stream is a row of scenes. In some, commands are given, one every few seconds, among other words; in some, people talk
without a pause and say none of the labels; in some, there is noise and nothing else. Levels and distances to the
noise are drawn anew for each scene, and every draw is keyed by seed and stream, so any stream can be made by itself, as
often as wanted, in any process, scene by scene in constant memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import pi
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.data.clips import SILENCE, UNKNOWN, Part
from speech_rnn.data.level import active_rms
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.store import Store
from speech_rnn.data.stream_settings import StreamSettings
from speech_rnn.draws import generator
from speech_rnn.errors import DataError

STREAMS_VERSION = 1  # another one whenever the same settings give other streams

Kind = Literal["word", "other word", "other language"]
SceneKind = Literal["commands", "talk", "noise"]

_EDGE_S = 1.0  # without speech at both ends of a scene: no word is cut, and none is met by a change of level
_FADE_S = 0.02  # of a clip's own background
_STRETCH_S = (2.0, 5.0)  # of one noise
_CROSS_FADE_S = 0.25
_GENERATED_SHARE = 0.25  # of the stretches: recorded noise is of few kinds
_SHORTEST_S = 0.25  # a word and the gap behind it
_ACTIVE_BLOCK_S = 0.02
_ACTIVE_SHARE = 0.01  # of the loudest block's energy: 20 dB under it


@dataclass(frozen=True, slots=True)
class Said:
    """A word in a stream.

    Attributes:
        label: the label that should be reported; :data:`~speech_rnn.data.clips.UNKNOWN` where none should be.
        start: where the word begins, in seconds since the start of the stream.
        end: where it ends.
        kind: a word of the labels, another word, or one of another language.
        name: of the clip, so that one can listen to it; empty where there is none.
        snr_db: its level over the background; ``None`` where not known.
    """

    label: str
    start: float
    end: float
    kind: Kind = "word"
    name: str = ""
    snr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A piece of a stream.

    Attributes:
        samples: float32 [samples], steps of 16 bits, within ±1.
        said: the words in it, by their start in the stream.
    """

    samples: NDArray[np.float32]
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A clip where it belongs in a scene: samples at their final level, the first of them, and what is said."""

    samples: NDArray[np.float32]
    at: int
    said: Said


@dataclass(frozen=True, slots=True)
class _Plan:
    placed: tuple[_Placed, ...]
    background_db: float


@dataclass(frozen=True, slots=True)
class _Pool:
    """Clips that one draws from, each as often as the others: one permutation after another."""

    store: Store
    clips: NDArray[np.int64]
    kind: Kind
    seed: int
    part: Part

    def draw(self, turn: int) -> int:
        """The clip of a turn, an index in the store."""
        times, place = divmod(turn, len(self.clips))
        return int(generator(self.seed, f"{self.kind} of {self.part}", times).permutation(self.clips)[place])


class StreamBuilder:
    """Makes streams of one part of some recordings; picklable, so that other processes can.

    Attributes:
        labels: the words that are to be reported.
        settings: how streams are put together.
        seed: another seed, other streams.
    """

    def __init__(
        self,
        store: Store,
        labels: Sequence[str],
        *,
        distractors: Store | None = None,
        part: Part = "validation",
        settings: StreamSettings | None = None,
        seed: int = 0,
    ) -> None:
        """Find the clips.

        Args:
            store: recordings of the labels and of other words.
            labels: of the model; those that begin with ``_`` are no words.
            distractors: recordings of another language: none of them is a label, whatever its folder is called.
            part: which clips, and which share of the noise.
            settings: how streams are put together; the usual where not given.
            seed: of every draw.

        Raises:
            DataError: the part has none of the labels' words, or the stores are of different rates.
        """
        self.settings = settings or StreamSettings()
        self.labels = tuple(label for label in labels if not label.startswith("_"))
        self.seed = seed
        self._store, self._distractors, self._part = store, distractors, part
        if distractors is not None and distractors.sample_rate != store.sample_rate:
            raise DataError(
                f"distractors of {distractors.sample_rate} Hz must have the rate of the recordings "
                f"({store.sample_rate} Hz); open both with the same settings"
            )
        words = set(self.labels)
        of_part = [(index, clip.word) for index, clip in enumerate(store.clips) if clip.part == part]
        self._pools = {
            kind: pool
            for kind, pool in (
                ("word", self._pool(store, [index for index, word in of_part if word in words], "word")),
                (
                    "other word",
                    self._pool(
                        store, [index for index, word in of_part if word not in words and word != SILENCE], "other word"
                    ),
                ),
                ("other language", self._distractor_pool()),
            )
            if len(pool.clips)
        }
        if "word" not in self._pools:
            raise DataError(
                f"the {part} part of the {len(store):,} clips holds none of {', '.join(self.labels[:5])} …; choose "
                "another --part or other recordings"
            )
        self._noise = NoiseBank([*store.noise, *(distractors.noise if distractors else ())], store.sample_rate)
        self._generated = NoiseBank((), store.sample_rate)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the stores anew: noise and lists of clips don't travel."""
        options: dict[str, Any] = {
            "part": self._part,
            "settings": self.settings,
            "seed": self.seed,
            "distractors": self._distractors,
        }
        return partial(StreamBuilder, **options), (self._store, self.labels)

    @property
    def sample_rate(self) -> int:
        """Of the streams, in Hz."""
        return self._store.sample_rate

    @property
    def part(self) -> Part:
        """Which clips are heard."""
        return self._part

    def identity(self) -> str:
        """SHA-256 in hexadecimal: the same builder, the same streams."""
        digests = [self._store.digest, self._distractors.digest if self._distractors else None]
        what = [STREAMS_VERSION, digests, self.labels, self._part, json.loads(self.settings.to_json()), self.seed]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def truth(self, number: int) -> tuple[Said, ...]:
        """What is said in a stream, by start; a fraction of the work of :meth:`scenes`.

        Args:
            number: of the stream, from 0.
        """
        return tuple(placed.said for plan in self._plans(number) for placed in plan.placed)

    def scenes(self, number: int) -> Iterator[Scene]:
        """A stream, scene by scene: ``settings.scenes`` of them, of ``settings.scene_s`` each.

        Args:
            number: of the stream, from 0; streams of other numbers have other clips as far as there are enough.
        """
        for scene, plan in enumerate(self._plans(number)):
            samples = self._background(generator(self.seed, "stream noise", number, scene))
            samples *= np.float32(10.0 ** (plan.background_db / 20.0))
            for placed in plan.placed:
                begin, skipped = max(placed.at, 0), max(-placed.at, 0)
                end = min(placed.at + len(placed.samples), len(samples))
                samples[begin:end] += placed.samples[skipped : skipped + end - begin]
            yield Scene(_as_recorded(samples), tuple(placed.said for placed in plan.placed))

    def _pool(self, store: Store, clips: Sequence[int], kind: Kind) -> _Pool:
        return _Pool(store, np.array(clips, np.int64), kind, self.seed, self._part)

    def _distractor_pool(self) -> _Pool:
        store = self._distractors
        if store is None:
            return self._pool(self._store, [], "other language")
        of_part = [i for i, clip in enumerate(store.clips) if clip.part == self._part and clip.word != SILENCE]
        return self._pool(store, of_part, "other language")

    def _plans(self, number: int) -> Iterator[_Plan]:
        """What happens in each scene of a stream."""
        settings = self.settings
        for scene in range(settings.scenes):
            rng = generator(self.seed, "scene", number, scene)
            kind, level, snr = rng.random(3)
            if kind < settings.noise_share:
                yield _Plan((), _between(settings.noise_low_db, settings.noise_high_db, level))
                continue
            speech_db = _between(settings.speech_low_db, settings.speech_high_db, level)
            snr_db = _between(settings.snr_low_db, settings.snr_high_db, snr)
            talks = kind < settings.noise_share + settings.talk_share
            placed = tuple(self._speak(rng, number * settings.scenes + scene, talks, speech_db, snr_db))
            yield _Plan(placed, speech_db - snr_db)

    def _speak(
        self, rng: np.random.Generator, scene: int, talks: bool, speech_db: float, snr_db: float
    ) -> Iterator[_Placed]:
        """One word after another; ``scene`` is counted over all streams."""
        settings, rate = self.settings, self.sample_rate
        # As many turns are a scene's own as it could have words, so that it need not know those before it.
        first = scene * round(settings.scene_s / _SHORTEST_S)
        turns = dict.fromkeys(self._pools, first)
        gaps = (
            (settings.talk_gap_low_s, settings.talk_gap_high_s)
            if talks
            else (settings.command_gap_low_s, settings.command_gap_high_s)
        )
        begin_s = scene % settings.scenes * settings.scene_s
        now = _EDGE_S + (0.0 if talks else _between(*gaps, rng.random()))
        while True:
            what, language, gap = rng.random(3)
            kind = self._kind(what, language, talks)
            if kind is None:
                return
            pool = self._pools[kind]
            clip = pool.draw(turns[kind])
            samples, start, end = self._spoken(pool.store, clip, speech_db)
            if now + (end - start) / rate > settings.scene_s - _EDGE_S:
                return
            turns[kind] += 1
            at = round(now * rate) - start
            said = Said(
                label=pool.store.clips[clip].word if kind == "word" else UNKNOWN,
                start=round(begin_s + (at + start) / rate, 6),
                end=round(begin_s + (at + end) / rate, 6),
                kind=kind,
                name=pool.store.clips[clip].name,
                snr_db=round(snr_db, 3),
            )
            yield _Placed(samples, at, said)
            now = (at + end) / rate + _between(*gaps, gap)

    def _kind(self, what: float, language: float, talks: bool) -> Kind | None:
        """Which kind of word comes next; ``None`` where people talk and there is nothing they could say."""
        if not talks and what < self.settings.word_share:
            return "word"
        if language < self.settings.distractor_share and "other language" in self._pools:
            return "other language"
        if "other word" in self._pools:
            return "other word"
        if "other language" in self._pools:
            return "other language"
        return None if talks else "word"

    def _spoken(self, store: Store, clip: int, level_db: float) -> tuple[NDArray[np.float32], int, int]:
        """A clip at a level, its ends faded, and the samples between which the word is."""
        row = store.read(np.array([clip]))[0].astype(np.float32) / np.float32(FULL_SCALE_INT16)
        length = min(int(store.lengths[clip]), len(row))
        before = (len(row) - length) // 2
        samples = row[before : before + length]
        level = active_rms(samples) if len(samples) else 0.0
        if level > 0:
            samples = samples * np.float32(10.0 ** (level_db / 20.0) / level)
        start, end = active_span(samples, store.sample_rate)
        fade = min(round(_FADE_S * store.sample_rate), len(samples) // 2)
        if fade:
            ramp = (0.5 - 0.5 * np.cos(pi * (np.arange(fade) + 0.5) / fade)).astype(np.float32)
            samples[:fade] *= ramp
            samples[-fade:] *= ramp[::-1]
        return samples, start, end

    def _background(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Noise for a scene, of RMS about 1: one stretch after another, cross-faded."""
        rate = self.sample_rate
        samples = np.zeros(round(self.settings.scene_s * rate), np.float32)
        fade = round(_CROSS_FADE_S * rate)
        # Uncorrelated noises keep their power where the squares of the ramps add up to 1.
        rising = np.sin(0.5 * pi * (np.arange(fade) + 0.5) / fade).astype(np.float32)
        at = 0
        while at < len(samples):
            length = round(_between(*_STRETCH_S, rng.random()) * rate)
            bank = self._generated if rng.random() < _GENERATED_SHARE else self._noise
            noise = bank.draw(rng, length + fade, self._part)
            if at:
                noise[:fade] *= rising
            noise[-fade:] *= rising[::-1]
            end = min(at + len(noise), len(samples))
            samples[at:end] += noise[: end - at]
            at += length
        return samples


def active_span(samples: NDArray[np.float32], sample_rate: int) -> tuple[int, int]:
    """Between which samples of a clip something is said: blocks of 20 ms within 20 dB of the loudest.

    Args:
        samples: float32 [samples].
        sample_rate: in Hz.

    Returns:
        The first sample, and the one after the last; the whole clip where it is digitally silent.
    """
    block = max(1, round(_ACTIVE_BLOCK_S * sample_rate))
    n_blocks = len(samples) // block
    if not n_blocks:
        return 0, len(samples)
    blocks = samples[: n_blocks * block].reshape(n_blocks, block)
    energies = np.vecdot(blocks, blocks)
    active = np.flatnonzero(energies >= _ACTIVE_SHARE * energies.max())
    return int(active[0]) * block, (int(active[-1]) + 1) * block


def _as_recorded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """As 16 bits hold it, so that a stream is the same from a file."""
    steps = np.clip(np.rint(samples * FULL_SCALE_INT16), -FULL_SCALE_INT16, FULL_SCALE_INT16 - 1)
    return np.asarray(steps / FULL_SCALE_INT16, np.float32)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * float(share)

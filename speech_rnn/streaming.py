"""Endless sound -> detections.

Sound of any rate, in chunks of any size, becomes steps of the classifier. In *window* mode several lanes run, started
one after another, and each gives the score of one clip, exactly what the clip model says of it; in *carry* mode one
state runs on and on. A stream holds some kilobytes: its states, less than a step of sound, and the last scores. Many
streams go through the model as rows of one batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from speech_rnn import audio
from speech_rnn.card import clipped
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, SettingsError
from speech_rnn.stream_model import ROWS_AT_ONCE, StreamModel

STEPS_AT_ONCE = 256  # of a stream: their windows take 850 kB

_Scored = tuple[float, NDArray[np.float32]]  # seconds, float32 [labels]


@dataclass(frozen=True, slots=True)
class Detection:
    """A word that was heard.

    Attributes:
        label: the word.
        score: its smoothed score, 0 to 1.
        time: where the sound ended that decided, in seconds since the stream's start.
        start: where that sound began; a clip's length before, at least 0.
    """

    label: str
    score: float
    time: float
    start: float


class Detector:
    """Scores of a stream, one after another -> detections: an average, a threshold a label, and a rest after each.

    Attributes:
        config: the rules.
        smoothed: float32 [labels], the average now; ``None`` before the first score.
    """

    def __init__(self, labels: Sequence[str], config: DetectorConfig, clip_s: float = 1.0) -> None:
        """A detector that has heard nothing.

        Args:
            labels: in the order of the scores.
            config: the rules.
            clip_s: length of the sound that decides, in seconds.

        Raises:
            SettingsError: a threshold for what is no label.
        """
        for label in config.thresholds:
            if label not in labels:
                raise SettingsError(
                    f"thresholds name {clipped(label)}, which is no label of this model; it has {', '.join(labels)}"
                )
        self.config = config
        self.smoothed: NDArray[np.float32] | None = None
        self._labels = tuple(labels)
        self._clip_s = clip_s
        # What is never reported has a threshold that no score reaches.
        self._thresholds = np.array(
            [math.inf if label.startswith("_") else config.threshold_of(label) for label in labels], np.float32
        )
        self._recent: deque[_Scored] = deque()
        self._rests_until = -math.inf

    def update(self, time: float, scores: NDArray[np.float32]) -> Detection | None:
        """Take the next scores.

        Args:
            time: where their sound ended, in seconds; later than before.
            scores: float32 [labels].

        Returns:
            What is heard with them, if anything.
        """
        # A nanosecond: times are sums of steps, and rounded.
        while self._recent and self._recent[0][0] <= time - self.config.smoothing_s + 1e-9:
            self._recent.popleft()
        self._recent.append((time, scores))
        self.smoothed = np.mean([recent for _, recent in self._recent], axis=0, dtype=np.float32)
        best = int(np.argmax(self.smoothed - self._thresholds))
        if self.smoothed[best] < self._thresholds[best] or time < self._rests_until - 1e-9:
            return None
        self._rests_until = time + self.config.refractory_s
        return Detection(self._labels[best], float(self.smoothed[best]), time, max(0.0, time - self._clip_s))


class Stream:
    """One endless sound through a model; made by :meth:`speech_rnn.Recognizer.stream`. One thread at a time.

    The first window begins with the first sample; a word at the very end is heard once :meth:`finish` is called.
    """

    def __init__(self, model: StreamModel, config: DetectorConfig) -> None:
        """A stream that has heard nothing.

        Raises:
            SettingsError: a threshold for what is no label.
        """
        card = model.card
        self.model = model
        self.detector = Detector(card.labels, config, card.features.clip_s)
        self._lanes = _Lanes(model, config)
        self._span = card.kept_length + card.step_length
        self._pending = np.zeros(0, np.float32)  # at the model's rate; begins with what the next step's frames need
        self._resampler: tuple[float, soxr.ResampleStream] | None = None
        self._seconds = 0.0
        self._finished = False

    @property
    def time(self) -> float:
        """Seconds of sound taken."""
        return self._seconds

    @property
    def scores(self) -> NDArray[np.float32] | None:
        """The smoothed scores now, float32 [labels]; ``None`` before the first."""
        return self.detector.smoothed

    def accept(self, samples: NDArray[Any], rate: float) -> list[Detection]:
        """Take the next chunk.

        Args:
            samples: [samples] or [samples, channels], any number, none too; floats of full scale ±1 or integers.
            rate: their rate in Hz; it may change from chunk to chunk.

        Returns:
            What is heard with it.

        Raises:
            AudioError: not finite, of a wrong shape or rate, or after :meth:`finish`. The stream is as before.
        """
        return accept_all([self], [samples], rate)[0]

    def accept_scores(self, samples: NDArray[Any], rate: float) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Take the next chunk, and give the bare scores: of whole windows (*window*) or steps (*carry*).

        Args:
            samples: as in :meth:`accept`.
            rate: likewise.

        Returns:
            Where their sound ends, float64 [n], in seconds, and float32 [n, labels].

        Raises:
            AudioError: as in :meth:`accept`.
        """
        self._check_open()
        self._take(audio.to_chunk(samples, rate), rate)
        scored = [one for scores in _run([self]) for one in scores]
        times = np.array([time for time, _ in scored], np.float64)
        return times, np.array([scores for _, scores in scored], np.float32).reshape(-1, len(self.model.card.labels))

    def finish(self) -> list[Detection]:
        """End the sound: what the resampler still holds, and half a clip of silence."""
        self._check_open()
        self._change_rate(None)
        rate = self.model.card.features.sample_rate
        self._pending = np.concatenate([self._pending, np.zeros(self.model.card.features.clip_length // 2, np.float32)])
        self._seconds += self.model.card.features.clip_length // 2 / rate
        self._finished = True
        return self._detected(_run([self])[0])

    def _check_open(self) -> None:
        if self._finished:
            raise AudioError("this stream is finished and takes no more sound; make a new one with stream()")

    def _take(self, mono: NDArray[np.float32], rate: float) -> None:
        if not len(mono):
            return
        self._change_rate(rate)
        self._seconds += len(mono) / rate
        if self._resampler is not None:
            mono = self._resampler[1].resample_chunk(mono)
        self._pending = np.concatenate([self._pending, mono])

    def _change_rate(self, rate: float | None) -> None:
        """Take the rest out of the resampler when another rate, or the end, comes."""
        if self._resampler is not None:
            old, resampler = self._resampler
            if old == rate:
                return
            rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            self._pending = np.concatenate([self._pending, rest])
            self._resampler = None
        if rate is not None and rate != self.model.card.features.sample_rate:
            self._resampler = rate, soxr.ResampleStream(rate, self.model.card.features.sample_rate, 1)

    def _windows(self) -> NDArray[np.float32]:
        """Windows of the next steps, float32 [steps, kept_length + step_length]; they are taken out."""
        step_length = self._span - self.model.card.kept_length
        n_steps = min(STEPS_AT_ONCE, (len(self._pending) - self.model.card.kept_length) // step_length)
        if n_steps < 1:
            self._pending = self._pending.copy()  # not a view, which would hold the whole chunk
            return np.zeros((0, self._span), np.float32)
        windows = sliding_window_view(self._pending, self._span)[::step_length][:n_steps]
        self._pending = self._pending[n_steps * step_length :]
        return windows

    def _detected(self, scored: Sequence[_Scored]) -> list[Detection]:
        found = (self.detector.update(time, scores) for time, scores in scored)
        return [detection for detection in found if detection is not None]


def accept_all(streams: Sequence[Stream], chunks: Sequence[NDArray[Any]], rate: float) -> list[list[Detection]]:
    """:meth:`Stream.accept` of many streams of one model, in batched calls of the model.

    Args:
        streams: of one model; each once.
        chunks: a chunk for each, of any sizes.
        rate: of all chunks, in Hz.

    Returns:
        What is heard in each.

    Raises:
        AudioError: streams of several models, one stream twice, or a chunk that can't be taken; all streams are as
            before.
    """
    if len({id(stream) for stream in streams}) < len(streams) or len({id(stream.model) for stream in streams}) > 1:
        raise AudioError("streams that are heard together must be of one model, each once; call accept() of each")
    for stream in streams:
        stream._check_open()
    mono = [audio.to_chunk(samples, rate) for samples in chunks]
    for stream, samples in zip(streams, mono, strict=True):
        stream._take(samples, rate)
    found: list[list[Detection]] = []
    for some in _groups(streams):
        found += [stream._detected(scored) for stream, scored in zip(some, _run(some), strict=True)]
    return found


def _groups(streams: Sequence[Stream]) -> Iterator[Sequence[Stream]]:
    """Streams whose lanes fill one batch: more at once are no faster, and what is taken for them grows."""
    each = max(1, ROWS_AT_ONCE // max((stream._lanes.n for stream in streams), default=1))
    for start in range(0, len(streams), each):
        yield streams[start : start + each]


def _run(streams: Sequence[Stream]) -> list[list[_Scored]]:
    """Run all whole steps that the streams hold; returns the scores of each."""
    found: list[list[_Scored]] = [[] for _ in streams]
    while True:
        windows = [stream._windows() for stream in streams]
        counts = [len(some) for some in windows]
        if not any(counts):
            return found
        for active, frames in _rounds(streams[0].model, windows):
            lanes = [streams[i]._lanes for i in active]
            for i, scored in zip(active, _step(streams[0].model, lanes, frames), strict=True):
                if scored is not None:
                    found[i].append(scored)


def _rounds(
    model: StreamModel, windows: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Step by step: the streams that have one more, and their frames float32 [streams, stack, n_mfcc]."""
    rows = np.concatenate(windows)
    frames = np.concatenate(
        [model.features(rows[start : start + STEPS_AT_ONCE]) for start in range(0, len(rows), STEPS_AT_ONCE)]
    )
    first = np.cumsum([0, *(len(some) for some in windows)])
    for step in range(max(len(some) for some in windows)):
        active = [i for i, some in enumerate(windows) if step < len(some)]
        yield active, frames[first[active] + step]


def _step(model: StreamModel, lanes: Sequence[_Lanes], frames: NDArray[np.float32]) -> list[_Scored | None]:
    """One step of some streams, all their lanes as rows of one batch."""
    if len(lanes) == 1:
        states, rows = lanes[0].begin(), np.repeat(frames, lanes[0].n, axis=0)
        scores, states = model.step(rows, states)
        return [lanes[0].end(scores, states)]
    begun = [one.begin() for one in lanes]
    states = [np.concatenate(parts) for parts in zip(*begun, strict=True)]
    counts = [one.n for one in lanes]
    scores, states = model.step(np.repeat(frames, counts, axis=0), states)
    last = np.cumsum(counts)
    return [
        one.end(scores[end - one.n : end], [state[end - one.n : end].copy() for state in states])
        for one, end in zip(lanes, last.tolist(), strict=True)
    ]


class _Lanes:
    """The states of a stream: *window*: lanes that start one after another; *carry*: one that is never reset."""

    def __init__(self, model: StreamModel, config: DetectorConfig) -> None:
        card = model.card
        self._step_s = card.step_length / card.features.sample_rate
        self._heard_s = card.heard_length / card.features.sample_rate
        self._kept_s = card.kept_length / card.features.sample_rate
        self._n_steps = card.n_steps
        self._carries = config.mode == "carry"
        self._interval = card.interval_steps(config)
        self.n = 1 if self._carries else -(-self._n_steps // self._interval)
        self._states = model.zero_states(self.n)
        self._taken = 0  # steps

    def begin(self) -> list[NDArray[np.float32]]:
        """The states before the next step; a lane that starts with it begins with zeros."""
        if not self._carries and self._taken % self._interval == 0:
            lane = self._taken // self._interval % self.n
            for state in self._states:
                state[lane] = 0.0
        return self._states

    def end(self, scores: NDArray[np.float32], states: list[NDArray[np.float32]]) -> _Scored | None:
        """Take the states after the step; the scores of a lane that ends with it."""
        self._states = states
        self._taken += 1
        if self._carries:
            return self._kept_s + self._taken * self._step_s, scores[0]
        begun = self._taken - self._n_steps
        if begun < 0 or begun % self._interval:
            return None
        return begun * self._step_s + self._heard_s, scores[begun // self._interval % self.n].copy()

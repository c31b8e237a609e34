"""From a microphone to what is done about a word: the loop behind ``speech-rnn listen``, and for one's own program.

from speech_rnn import load
from speech_rnn.listening import listen

listen(load("gru-12-small"), lambda heard: print(heard.label, heard.score))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import dbfs
from speech_rnn.errors import AudioError, DeviceError, SettingsError
from speech_rnn.microphone import Microphone, SoundInput
from speech_rnn.text import plain

if TYPE_CHECKING:
    from speech_rnn.config import DetectorConfig
    from speech_rnn.streaming import Detection

LOWEST_DB = -90.0  # of the meter; 16 bits know nothing below
_FALL_DB_PER_S = 20.0  # of the meter, as in IEC 60268-10
_WAIT_S = 0.1
_MOST_BAD_S = 5.0  # of sound that isn't one, before that is an error
_ONLY_ZEROS_S = 5.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A word that was heard.

    Attributes:
        label: the word.
        score: its smoothed score, 0 to 1.
        time: seconds since listening began, to the end of the sound that decided.
        start: where the clip that decided began.
        clock: when, by the clock of this machine, with its time zone.
        scores: the smoothed scores of all labels.
    """

    label: str
    score: float
    time: float
    start: float
    clock: datetime
    scores: Mapping[str, float]


class SoundStream(Protocol):
    """What is wanted of :class:`speech_rnn.streaming.Stream`."""

    @property
    def time(self) -> float:
        """Seconds of sound taken."""

    @property
    def scores(self) -> NDArray[np.float32] | None:
        """Smoothed scores, float32 [labels]."""

    def accept(self, samples: NDArray[Any], rate: float) -> Sequence[Detection]:
        """Take sound; what was heard."""

    def finish(self) -> Sequence[Detection]:
        """What the end still holds."""


class StreamMaker(Protocol):
    """What is wanted of :class:`speech_rnn.runtime.Recognizer`."""

    @property
    def labels(self) -> Sequence[str]:
        """In the order of the scores."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def clip_length(self) -> int:
        """In samples."""

    def stream(self, config: DetectorConfig | None = None) -> SoundStream:
        """A stream from its beginning."""


class Listener:
    """One input, one stream: takes what has come, says what was heard in it.

    Attributes:
        source: where the sound comes from.
        labels: of the model, in the order of its scores.
        clip_s: how much sound the model hears at once, in seconds.
        taken_s: seconds of sound that came.
        level_db: of a meter, in dBFS: rises at once, falls slowly.
        zeros_s: for how many seconds there was nothing but digital silence.
        refused: blocks that were no sound (NaN and such), left out.
        ended: whether the input is at its end.
    """

    def __init__(
        self,
        recognizer: StreamMaker,
        source: SoundInput,
        config: DetectorConfig | None = None,
        *,
        keeper: SoundKeeper | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    ) -> None:
        """Begin a stream.

        Args:
            recognizer: the model.
            source: an open input.
            config: of the detector; ``None``: the model's own.
            keeper: gets the sound and what was heard in it.
            clock: seconds that go on.
            now: the time of day.
        """
        self.source = source
        self.labels = recognizer.labels
        self.clip_s = recognizer.clip_length / recognizer.sample_rate
        self.taken_s = 0.0
        self.level_db = LOWEST_DB
        self.zeros_s = 0.0
        self.refused = 0
        self.ended = False
        self._recognizer, self._config, self._keeper = recognizer, config, keeper
        self._clock, self._now = clock, now
        self._stream = recognizer.stream(config)
        self._started_s = clock()
        self._offset_s = 0.0  # when the stream began, after the one before it was broken off
        self._bad_s = 0.0

    @property
    def scores(self) -> Mapping[str, float] | None:
        """The smoothed scores now, by label; ``None`` while there are none."""
        scores = self._stream.scores
        return None if scores is None else {label: float(s) for label, s in zip(self.labels, scores, strict=True)}

    @property
    def keeping_trouble(self) -> str:
        """Why sound isn't kept as it should be; empty where it is."""
        return "" if self._keeper is None else self._keeper.trouble

    def step(self, wait_s: float = _WAIT_S) -> list[Heard]:
        """Take what has come, waiting at most ``wait_s`` seconds for it.

        Raises:
            AudioError: for five seconds nothing has come but what is no sound.
            DeviceError: the input has failed for good.
        """
        block = self.source.read(wait_s)
        if block is None:
            self.ended = True
            return self._heard(self._stream.finish())
        if block.gap:
            self._begin_anew()
        if not len(block.samples):
            return []
        length_s = len(block.samples) / block.rate
        try:
            detections = self._stream.accept(block.samples, block.rate)
        except AudioError:
            self.refused += 1
            self._bad_s += length_s
            if self._bad_s > _MOST_BAD_S:
                raise
            return []
        self._bad_s = 0.0
        self.taken_s += length_s
        mono = block.samples if block.samples.ndim == 1 else block.samples.mean(axis=1, dtype=np.float32)
        self._measure(mono, length_s)
        if self._keeper is not None:
            self._keeper.feed(mono, block.rate, self._offset_s + self._stream.time)
        return self._heard(detections)

    def finish(self) -> list[Heard]:
        """What the last half second still holds."""
        return [] if self.ended else self._heard(self._stream.finish())

    def _begin_anew(self) -> None:
        """A new stream: what came before the gap and what comes after it are not one sound."""
        self._stream = self._recognizer.stream(self._config)
        self._offset_s = self._clock() - self._started_s
        if self._keeper is not None:
            self._keeper.gap()

    def _measure(self, samples: NDArray[np.float32], length_s: float) -> None:
        level_db = max(dbfs(samples), LOWEST_DB)
        self.level_db = max(level_db, self.level_db - _FALL_DB_PER_S * length_s)
        self.zeros_s = 0.0 if samples.any() else self.zeros_s + length_s

    def _heard(self, detections: Sequence[Detection]) -> list[Heard]:
        scores = self.scores or {}
        heard = [
            Heard(
                detection.label,
                detection.score,
                self._offset_s + detection.time,
                self._offset_s + detection.start,
                self._now(),
                scores,
            )
            for detection in detections
        ]
        if self._keeper is not None:
            for one in heard:
                self._keeper.heard(one)
        return heard


class SoundKeeper(Protocol):
    """What gets all sound, to keep some of it."""

    @property
    def trouble(self) -> str:
        """Why nothing is kept, on one line; empty where all is well."""

    def feed(self, samples: NDArray[np.float32], rate: float, end_s: float) -> None:
        """Sound float32 [samples] that ends at ``end_s``, in the time of :class:`Heard`."""

    def heard(self, heard: Heard) -> None:
        """A word was heard, in sound that was fed."""

    def gap(self) -> None:
        """What comes next doesn't continue what came."""


def changed_detector(
    config: DetectorConfig, thresholds: Sequence[str], labels: Sequence[str], **values: float | str | None
) -> DetectorConfig:
    """A detector's settings with some replaced.

    Args:
        config: the settings to start from.
        thresholds: each a score (for all labels) or ``label=score``.
        labels: of the model.
        values: other settings by name; ``None`` leaves one as it is.

    Raises:
        SettingsError: no number, no label of the model, or a setting out of its range.
    """
    changed: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    own = dict(config.thresholds)
    for text in thresholds:
        label, is_one, score_text = text.rpartition("=")
        try:
            score = float(score_text)
        except ValueError:
            raise SettingsError(
                f"threshold {plain(text, 60)!r} must be a score, or a label and a score; 0.8 and yes=0.9 are examples"
            ) from None
        if not is_one:
            # What is said for all goes before what the model says for one.
            changed["threshold"] = score
            own = {}
        elif label in labels:
            own[label] = score
        else:
            raise SettingsError(
                f"threshold {plain(text, 60)!r} names no label of the model; those are "
                f"{', '.join(plain(one) for one in labels[:12])}{' …' if len(labels) > 12 else ''}"
            )
    return config.changed(**changed, thresholds=own)


class Audience(Protocol):
    """Who is told what happens."""

    def heard(self, heard: Heard) -> None:
        """A word was heard."""

    def update(self, listener: Listener) -> None:
        """Some tenths of a second have gone by."""

    def trouble(self, message: str) -> None:
        """Something is wrong, or, with an empty message, no longer."""


def run(
    listener: Listener,
    audience: Audience,
    *,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Listen until the input or the time ends.

    Args:
        listener: the input and the model.
        audience: who is told.
        seconds: to listen; ``None``: without end.
        clock: seconds that go on.

    Raises:
        DeviceError: not one sample came.
        AudioError: see :meth:`Listener.step`.
    """
    start_s, said = clock(), ""
    while not listener.ended:
        left_s = _WAIT_S if seconds is None else start_s + seconds - clock()
        if left_s <= 0:
            break
        for heard in listener.step(min(_WAIT_S, left_s)):
            audience.heard(heard)
        now_wrong = _what_is_wrong(listener)
        if now_wrong != said:
            said = now_wrong
            audience.trouble(said)
        audience.update(listener)
    for heard in listener.finish():
        audience.heard(heard)
    if not listener.taken_s:
        reason = listener.source.trouble or f"no sound came from {listener.source.title}"
        raise DeviceError(f"{reason}; unmute it, or choose another with --device")


def listen(
    recognizer: StreamMaker,
    on_heard: Callable[[Heard], object],
    *,
    source: SoundInput | None = None,
    config: DetectorConfig | None = None,
    seconds: float | None = None,
) -> None:
    """Call back at every word that is heard.

    The callback runs in the caller's thread: while it works, sound waits, up to five seconds of it; after that it is
    dropped, and counted in ``source.overruns``. What it raises ends the listening.

    Args:
        recognizer: the model.
        on_heard: called with each :class:`Heard`.
        source: an open input; ``None``: the default microphone.
        config: of the detector; ``None``: the model's own.
        seconds: to listen; ``None``: without end.

    Raises:
        DeviceError: no microphone, or not one sample came from it.
        AudioError: what comes is no sound.
    """
    with ExitStack() as stack:
        opened = source if source is not None else stack.enter_context(Microphone())
        run(Listener(recognizer, opened, config), _Callback(on_heard), seconds=seconds)


class _Callback:
    def __init__(self, on_heard: Callable[[Heard], object]) -> None:
        self._on_heard = on_heard

    def heard(self, heard: Heard) -> None:
        self._on_heard(heard)

    def update(self, listener: Listener) -> None:
        pass

    def trouble(self, message: str) -> None:
        pass


def _what_is_wrong(listener: Listener) -> str:
    if trouble := listener.source.trouble or listener.keeping_trouble:
        return trouble
    if listener.zeros_s > _ONLY_ZEROS_S:
        return f"only digital silence comes from {listener.source.title}; is it muted?"
    return ""

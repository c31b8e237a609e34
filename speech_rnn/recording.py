"""The guided recorder: asks for one take after another, hears whether each can be used, keeps those that can.

Who speaks sees and answers through a :class:`Guide`; where the sound comes from is a microphone or what is put in its
place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import dbfs
from speech_rnn.errors import AudioError, DeviceError
from speech_rnn.microphone import Block, SoundInput
from speech_rnn.own_words import CLIP_LENGTH, SAMPLE_RATE, OwnWords
from speech_rnn.takes import Take, judge_take

Choice = Literal["record", "undo", "play", "skip", "quit"]

WINDOW_S = 2.0  # recorded of a word of up to a second, spoken after the sign
COUNTDOWN_S = 1.0
_TICK_S = 0.1
_PATIENCE_S = 5.0  # for sound that doesn't come
_MOST_REFUSED = 10  # in a row, where nobody is asked

Player = Callable[[NDArray[np.float32], float], None]


class RecordingInput(SoundInput, Protocol):
    """A microphone whose past can be forgotten."""

    def discard(self) -> None:
        """Forget what came before now."""


class Guide(Protocol):
    """What a person sees, and answers."""

    asks: bool  # whether it waits for an answer, so that no take is made without one

    def choose(self, word: str, take: int, takes: int, *, can_undo: bool) -> Choice:
        """Ask what to do next; take ``take`` of ``takes`` of a word is wanted."""

    def choose_at_end(self) -> Choice:
        """All takes are there: ``quit``, or first ``undo`` or ``play`` the last."""

    def count_down(self, word: str, left_s: float) -> None:
        """The sign to speak comes in so many seconds; at 0 it is there."""

    def level(self, level_db: float, left_s: float) -> None:
        """How loud it is now, in dBFS, and how long it is still recorded."""

    def accepted(self, word: str, path: Path, take: Take) -> None:
        """A take was kept."""

    def refused(self, reason: str) -> None:
        """A take was not kept."""

    def undone(self, path: Path) -> None:
        """A take was taken back."""

    def cannot_play(self, reason: str) -> None:
        """There is nothing to play on."""


class Recorder:
    """A session of recording.

    Attributes:
        added: files of this session, in order.
        refused: takes that were not kept.
    """

    def __init__(
        self,
        words: OwnWords,
        source: RecordingInput,
        guide: Guide,
        *,
        player: Player | None = None,
        play_each: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare a session.

        Args:
            words: the folder, and who speaks.
            source: an open microphone.
            guide: what the person sees.
            player: plays a clip; ``None``: there is nothing to play on.
            play_each: whether each take is played back.
            sleep: waits so many seconds.
        """
        self.added: list[Path] = []
        self.refused = 0
        self._words, self._source, self._guide = words, source, guide
        self._player, self._play_each, self._sleep = player, play_each, sleep
        self._last: list[Take] = []

    def record(self, words: Sequence[str], takes: int) -> None:
        """Record until the speaker has so many takes of each word, or wants no more.

        Args:
            words: labels, checked.
            takes: of each word, those of earlier sessions included.

        Raises:
            DeviceError: the microphone gives nothing; or, where the guide asks nobody, no take can be used.
        """
        place = refused_in_row = 0
        while True:
            while place < len(words) and self._words.takes(words[place]) >= takes:
                place += 1
            choice = self._ask(words, place, takes)
            if choice == "quit":
                return
            if choice == "skip":
                place += 1
            elif choice == "undo":
                # Back to the word of that take, which now lacks one.
                place = self._undo(words, place)
            elif choice == "play":
                self._play()
            elif self._take(words[place]):
                refused_in_row = 0
            else:
                refused_in_row += 1
                if refused_in_row >= _MOST_REFUSED and not self._guide.asks:
                    raise DeviceError(
                        f"{refused_in_row} takes in a row could not be used; check the microphone and try again"
                    )

    def _ask(self, words: Sequence[str], place: int, takes: int) -> Choice:
        if place < len(words):
            take = self._words.takes(words[place]) + 1
            return self._guide.choose(words[place], take, takes, can_undo=bool(self.added))
        choice: Choice = self._guide.choose_at_end() if self._guide.asks and self.added else "quit"
        return choice if choice in ("undo", "play") else "quit"

    def _take(self, word: str) -> bool:
        """One take; whether it was kept."""
        for tick in range(round(COUNTDOWN_S / _TICK_S), 0, -1):
            self._guide.count_down(word, tick * _TICK_S)
            self._sleep(_TICK_S)
        self._source.discard()
        self._guide.count_down(word, 0.0)
        try:
            sound, rate = self._window()
            take = judge_take(sound, rate, SAMPLE_RATE, CLIP_LENGTH)
        except AudioError as error:
            self.refused += 1
            self._guide.refused(str(error))
            return False
        path = self._words.add(word, take.samples)
        self.added.append(path)
        self._last.append(take)
        self._guide.accepted(word, path, take)
        if self._play_each:
            self._play()
        return True

    def _window(self) -> tuple[NDArray[np.float32], float]:
        """What is said in the next two seconds, and its rate.

        Raises:
            AudioError: the microphone went away in the midst of it.
            DeviceError: no sound comes.
        """
        blocks: list[Block] = []
        taken_s, start_s = 0.0, time.monotonic()
        while taken_s < WINDOW_S:
            block = self._source.read(_TICK_S)
            if block is None:
                raise DeviceError(f"{self._source.title} has ended; choose a microphone")
            if not len(block.samples):
                if time.monotonic() - start_s > WINDOW_S + _PATIENCE_S:
                    trouble = self._source.trouble or f"no sound comes from {self._source.title}"
                    raise DeviceError(f"{trouble}; choose another with --device")
                continue
            if blocks and (
                block.gap or block.rate != blocks[0].rate or block.samples.shape[1:] != blocks[0].samples.shape[1:]
            ):
                raise AudioError("the microphone was away for a moment; say it again")
            blocks.append(block)
            taken_s += len(block.samples) / block.rate
            level_db = dbfs(block.samples) if np.isfinite(block.samples).all() else -np.inf
            self._guide.level(float(level_db), max(0.0, WINDOW_S - taken_s))
        return np.concatenate([block.samples for block in blocks]), blocks[0].rate

    def _undo(self, words: Sequence[str], place: int) -> int:
        if not self.added:
            return place
        path = self.added.pop()
        self._last.pop()
        self._words.remove(path)
        self._guide.undone(path)
        return words.index(path.parent.name)

    def _play(self) -> None:
        if self._player is None or not self._last:
            return
        try:
            self._player(self._last[-1].samples, SAMPLE_RATE)
        except DeviceError as error:
            self._player = None
            self._guide.cannot_play(str(error))

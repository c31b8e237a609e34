"""What is to be told apart, and which clips an epoch hears."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from speech_rnn import draws
from speech_rnn.config import TaskSettings
from speech_rnn.data.clips import PARTS, SILENCE, UNKNOWN, Clip, Part
from speech_rnn.errors import DataError

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
# The words of Speech Commands V2: Warden 2018, arXiv:1804.03209, table 2.
OTHER_WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "eight", "five", "follow", "forward", "four", "happy", "house"),
    *("learn", "marvin", "nine", "one", "seven", "sheila", "six", "three", "tree", "two", "visual", "wow", "zero"),
)
JUDGING_SEED = 0  # of the draws that no run's seed changes: all runs are judged by the same clips
USUAL_SHARE = 0.1  # of unknown and of silence, as in the official recipe


@dataclass(frozen=True)
class Items:
    """What an epoch hears, in order.

    Attributes:
        clip: int64 [n], index in the store; -1 for a stretch of background noise.
        label: int64 [n], index into the task's labels.
        key: int64 [n], what the draws for an item are keyed by; no two items of a part share one.
    """

    clip: NDArray[np.int64]
    label: NDArray[np.int64]
    key: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.clip)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Items:
        return Items(self.clip[rows], self.label[rows], self.key[rows])


class Task:
    """The labels of a model, and the draw of clips for them.

    Attributes:
        labels: in the order of the scores: silence and unknown first where the task has them, then the words.
        words: the labels that are words.
        heard_words: all words that training hears, those under unknown too, in the order of the alphabet.
        unknown_share, silence_share: clips of other words and stretches of noise, relative to the clips of the words.
        unknown_times: how many times its share of unknown training hears.
        heard_times: how many times training hears each clip of a word in an epoch.
    """

    def __init__(
        self,
        labels: Sequence[str],
        clips: Sequence[Clip],
        *,
        unknown_share: float,
        silence_share: float,
        unknown_times: float = 1.0,
        left_out: Sequence[str] = (),
        heard_share: float = 1.0,
        heard_times: int = 1,
        tuning_share: float = 0.0,
    ) -> None:
        """Find the clips of each label.

        Args:
            labels: in the order of the scores.
            clips: of a store; all but those of the words are unknown.
            unknown_share: clips of other words, relative to the clips of the words; without the label, none.
            silence_share: stretches of noise, likewise.
            unknown_times: how many times its share of unknown training hears.
            left_out: words that training doesn't hear, whole or in parts.
            heard_share: of its clips that training hears.
            heard_times: how many times it hears each clip of a word in an epoch.
            tuning_share: of its speakers who stand in for validation.
        """
        self.labels = tuple(labels)
        self.words = tuple(label for label in labels if label not in (SILENCE, UNKNOWN))
        label_of = {label: i for i, label in enumerate(labels)}
        self._silence, unknown = label_of.get(SILENCE, -1), label_of.get(UNKNOWN, -1)
        self.silence_share = silence_share if SILENCE in label_of else 0.0
        self.unknown_share = unknown_share if UNKNOWN in label_of else 0.0
        self.unknown_times, self.heard_times = unknown_times, heard_times
        self._label = np.array([label_of.get(clip.word, unknown) for clip in clips], np.int64)
        self._wanted: dict[Part, NDArray[np.int64]] = {}
        self._others: dict[Part, NDArray[np.int64]] = {}
        words = set(self.words)
        part_of = [_part(clip, heard_share, tuning_share) for clip in clips]
        for part in PARTS:
            of_part = [(i, clips[i].word) for i, its in enumerate(part_of) if its == part and clips[i].word != SILENCE]
            self._wanted[part] = np.array([i for i, word in of_part if word in words], np.int64)
            passed_over = {*words, *(left_out if part == "training" else ())}
            self._others[part] = np.array([i for i, word in of_part if word not in passed_over], np.int64)
        heard = {clips[i].word for i in self.splice_partners().tolist()}
        self.heard_words = tuple(sorted(heard - {UNKNOWN}))
        number_of = {word: number for number, word in enumerate(self.heard_words)}
        self._word = np.array([number_of.get(clip.word, -1) for clip in clips], np.int64)

    @classmethod
    def to_learn(cls, settings: TaskSettings, clips: Sequence[Clip]) -> Self:
        """The task that settings make of a store's clips.

        Raises:
            DataError: a word has no training clip that is heard, unknown is asked for and there is no other word,
                words are left out that are to be told apart or that no clip is known to be, or no speaker of the words
                stands in for validation where some are to.
        """
        words = _words(settings, clips)
        both = [word for word in settings.left_out if word in words]
        if both:
            raise DataError(f"left_out names {', '.join(both)}, which are to be told apart; leave out other words only")
        present = {clip.word for clip in clips}
        missing = [word for word in settings.left_out if word not in present]
        if missing:
            raise DataError(f"left_out names {', '.join(missing)}, of which there are no clips; leave them away")
        if settings.left_out and any(clip.part == "training" and clip.word == UNKNOWN for clip in clips):
            raise DataError(
                "left_out needs to know each clip's word, and a source has clips of unknown ones; leave it out"
            )
        usual = 0.0 if settings.labels in ("35", "all") else USUAL_SHARE
        unknown_share = usual if settings.unknown_share is None else settings.unknown_share
        silence_share = usual if settings.silence_share is None else settings.silence_share
        passed_over = {*words, *settings.left_out, SILENCE}
        if not any(clip.part == "training" and clip.word not in passed_over for clip in clips):
            if settings.unknown_share:
                raise DataError(
                    f"unknown_share={unknown_share} needs training clips of other words, and there are none"
                    f"{' but those of left_out' if settings.left_out else ''}; "
                    "add a source of other words, or set it to 0"
                )
            unknown_share = 0.0
        special = ((SILENCE, silence_share), (UNKNOWN, unknown_share))
        labels = (*(label for label, share in special if share > 0), *words)
        task = cls(
            labels,
            clips,
            unknown_share=unknown_share,
            silence_share=silence_share,
            unknown_times=settings.unknown_times,
            left_out=settings.left_out,
            heard_share=settings.heard_share,
            heard_times=settings.heard_times,
            tuning_share=settings.tuning_share,
        )
        unheard = [word for word in words if word not in task.heard_words]
        if unheard:
            raise DataError(
                f"heard_share={settings.heard_share} and tuning_share={settings.tuning_share} leave training no clip "
                f"of {', '.join(unheard)}; let it hear more"
            )
        # Speakers are drawn one by one, so few of them may leave none.
        if settings.tuning_share and not len(task._wanted["validation"]):
            speakers = {clip.speaker or clip.name for clip in clips if clip.part == "training" and clip.word in words}
            raise DataError(
                f"tuning_share={settings.tuning_share} of {len(speakers)} training speakers leaves none of the words' "
                "to judge by; there must be one at least: take recordings of more speakers, or give the learning rates"
            )
        return task

    @classmethod
    def to_judge(cls, labels: Sequence[str], settings: TaskSettings, clips: Sequence[Clip]) -> Self:
        """The task of a model with those labels, on clips of which some words may be missing."""
        unknown_share = USUAL_SHARE if settings.unknown_share is None else settings.unknown_share
        silence_share = USUAL_SHARE if settings.silence_share is None else settings.silence_share
        return cls(
            labels,
            clips,
            unknown_share=unknown_share,
            silence_share=silence_share,
            tuning_share=settings.tuning_share,
        )

    def items(self, part: Part, epoch: int, seed: int) -> Items:
        """The items of an epoch; those of another part than training are the same in every epoch and for every seed.

        All clips of the wanted words; of other words and of background noise as many as their share asks, drawn anew
        each training epoch. Training items are shuffled.
        """
        key = (seed, epoch) if part == "training" else (JUDGING_SEED, 0)
        rng = draws.generator(key[0], f"items of {part}", key[1])
        times = self.heard_times if part == "training" else 1
        wanted, wanted_keys = self._repeated([self._wanted[part]] * times)
        unknown_share = self.unknown_share * (self.unknown_times if part == "training" else 1.0)
        unknown, unknown_keys = self._draw(rng, self._others[part], round(unknown_share * len(wanted)))
        n_silence = round(self.silence_share * len(wanted))
        silence_keys = -1 - np.arange(n_silence, dtype=np.int64)
        clip = np.concatenate([wanted, unknown, np.full(n_silence, -1, np.int64)])
        label = np.concatenate([self._label[wanted], self._label[unknown], np.full(n_silence, self._silence, np.int64)])
        items = Items(clip, label, np.concatenate([wanted_keys, unknown_keys, silence_keys]))
        return items[rng.permutation(len(items))] if part == "training" else items

    def splice_partners(self) -> NDArray[np.int64]:
        """Training clips whose halves may make an unknown word: int64 [n], indices in the store."""
        return np.concatenate([self._wanted["training"], self._others["training"]])

    def word_of(self, clips: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of ``heard_words`` is said in clips of the store, int64 [n]; -1 for noise and other words."""
        words = np.full(len(clips), -1, np.int64)
        words[clips >= 0] = self._word[clips[clips >= 0]]
        return words

    def _draw(
        self, rng: np.random.Generator, pool: NDArray[np.int64], n: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``n`` clips of a pool and their keys; each clip as often as the others, give or take one."""
        if not len(pool):
            return pool, pool
        drawn, keys = self._repeated([rng.permutation(pool) for _ in range(-(-n // len(pool)))])
        return drawn[:n], keys[:n]

    def _repeated(self, rounds: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Clips that come again and again, and their keys, which say for which time: so each is bent otherwise."""
        keys = [clips + times * len(self._label) for times, clips in enumerate(rounds)]
        empty = [np.empty(0, np.int64)]
        return np.concatenate([*rounds, *empty]), np.concatenate([*keys, *empty])


def _part(clip: Clip, heard_share: float, tuning_share: float) -> Part | None:
    """The part that a clip is in, and none where it isn't heard at all."""
    part = clip.part
    if tuning_share and part == "validation":
        return None
    if part == "training" and _place("tuning", clip.speaker or clip.name) < tuning_share:
        return "validation"
    return None if part == "training" and _place("heard", clip.name) >= heard_share else part


def _place(what: str, name: str) -> float:
    """A number from 0 to under 1, always the same for a name."""
    return int.from_bytes(hashlib.sha256(f"{what} {name}".encode()).digest()[:6], "big") / 2**48


def _words(settings: TaskSettings, clips: Sequence[Clip]) -> tuple[str, ...]:
    present = {clip.word for clip in clips if not clip.word.startswith("_")}
    if settings.labels == "all":
        if not present:
            raise DataError("labels='all' finds no words; add a source that has some")
        return tuple(sorted(present))
    if settings.labels == "12":
        words: tuple[str, ...] = COMMANDS
    elif settings.labels == "35":
        words = tuple(sorted({*COMMANDS, *OTHER_WORDS}))
    else:
        words = settings.labels
    trained = {clip.word for clip in clips if clip.part == "training"}
    missing = [word for word in words if word not in trained]
    if missing:
        there = ", ".join(sorted(present)[:12]) + (" …" if len(present) > 12 else "")
        raise DataError(
            f"labels={settings.labels!r} needs training clips of {', '.join(missing)}; there are {there}: "
            "choose among them, or take 'all'"
        )
    return words

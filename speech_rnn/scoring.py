"""A part of the recordings through a model: logits or scores beside what was said and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.card import Card
from speech_rnn.config import RunSettings, TaskSettings
from speech_rnn.data.batches import BatchMaker, PartRows
from speech_rnn.data.clips import SILENCE, UNKNOWN, JudgedPart
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.store import Store
from speech_rnn.data.task import JUDGING_SEED, Items, Task
from speech_rnn.errors import DataError
from speech_rnn.feature_cache import cached_features
from speech_rnn.features import mfcc
from speech_rnn.progress import progress
from speech_rnn.runs import Run
from speech_rnn.runtime import Recognizer

Form = Literal["clip", "float32", "float16", "dynamic", "int8"]  # the clip file of a model, or one of its stream files
Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # clips [n, clip_length] -> scores [n, labels]
BATCH = 256
LEAST_SCORE = 1e-30  # of what is taken as a logarithm


@dataclass(frozen=True)
class Scored:
    """What a model says of some clips.

    Attributes:
        logits: float32 [clips, labels]; softmax of them is the score.
        targets: int64 [clips], indices of the right labels.
        speakers: who speaks; empty for stretches of noise, and where unknown.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    speakers: Sequence[str]


def score_run(run: Run, store: Store, part: JudgedPart, *, workers: int | None = None) -> Scored:
    """A trained run on a part of some recordings; silence and unknown are drawn as in its validation.

    Raises:
        DataError: the part holds none of the run's words.
    """
    judged = judged_clips(run.labels, run.settings, store, part)
    logits = np.empty((len(judged.items), len(run.labels)), np.float32)
    features = cached_features(
        judged.rows,
        run.settings.features,
        store.cache,
        title=f"{part} features",
        workers=None if workers is None else max(workers, 1),
    )
    for start in range(0, len(logits), BATCH):
        some = np.asarray(features[start : start + BATCH])
        logits[start : start + BATCH] = run.classifier.predict_on_batch(some)
    return Scored(logits, judged.items.label, judged.speakers)


def score_model(recognizer: Recognizer, store: Store, part: JudgedPart, *, streamed: bool = False) -> Scored:
    """An exported model on a part of some recordings, sound in and scores out.

    Args:
        recognizer: the model.
        store: decoded recordings at its rate and clip length.
        part: of them.
        streamed: through the stream file, step by step, and not the clip file.

    Raises:
        DataError: the part holds none of the model's words.
    """
    card = recognizer.card
    judged = judged_clips(card.labels, settings_of(card), store, part)
    scores = np.empty((len(judged.items), len(card.labels)), np.float32)
    with progress(f"{part} part", len(judged.items)) as report:
        for some, clips in judged.batches():
            if streamed:
                scores[some] = recognizer.stream_model.clip_scores(clips)
            else:
                scores[some] = [recognizer.scores(clip) for clip in clips]
            report.advance(len(some))
    return Scored(np.log(np.maximum(scores, LEAST_SCORE)), judged.items.label, judged.speakers)


@dataclass(frozen=True)
class Judged:
    """The clips of a part by which a model is judged: words, unknown words and silence.

    Attributes:
        items: which clips, of which label.
        rows: their sound.
        noise: background of the same recordings.
        speakers: who speaks; empty for stretches of noise, and where unknown.
    """

    items: Items
    rows: PartRows
    noise: NoiseBank
    speakers: Sequence[str]

    def batches(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Rows of some items, and their sound float32 [n, clip_length], full scale ±1."""
        for start in range(0, len(self.items), BATCH):
            some = np.arange(start, min(start + BATCH, len(self.items)))
            yield some, self.rows.read(some) * np.float32(1 / FULL_SCALE_INT16)


def scores_of(run: Run) -> Scores:
    """What scores clips by a run's best weights; features are computed as they come."""

    def scores(clips: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = run.classifier.predict_on_batch(mfcc(clips, run.settings.features))
        return np.asarray(keras.ops.softmax(logits))

    return scores


def settings_of(card: Card) -> RunSettings:
    """The settings under which a model is judged."""
    words = tuple(label for label in card.labels if label not in (SILENCE, UNKNOWN))
    return RunSettings(features=card.features, model=card.model, task=TaskSettings(labels=words))


def judged_clips(labels: Sequence[str], settings: RunSettings, store: Store, part: JudgedPart) -> Judged:
    """The clips by which a model with some labels is judged.

    Raises:
        DataError: the part holds none of the model's words.
    """
    task = Task.to_judge(labels, settings.task, store.clips)
    items, maker = _items(task, store, part), BatchMaker(store, task, settings)
    return Judged(items, PartRows(maker, items, part), maker.noise, _speakers(store, items))


def _items(task: Task, store: Store, part: JudgedPart) -> Items:
    items = task.items(part, 0, JUDGING_SEED)
    if not len(items):
        raise DataError(
            f"the {part} part of the {len(store):,} clips holds none of {', '.join(task.words[:5])} …; "
            "choose another --part or other recordings"
        )
    return items


def _speakers(store: Store, items: Items) -> list[str]:
    return [store.clips[clip].speaker if clip >= 0 else "" for clip in items.clip.tolist()]

"""A trained cell is measured: in noise, faster, softer, in eight bits, some seconds after the word.

All cells hear the same sound, which is made once and kept in the cache, and all are measured by their last weights.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.comparison.measures.gaps import GAP_KINDS, FollowedRows, GapKind, GapRows, other_words, steps_by
from speech_rnn.comparison.measures.recall import ASKED_S, TAUGHT_S, Lessons, build_longer, recall, teach
from speech_rnn.comparison.measures.variants import MOST_CLIPS, RECORDED, VARIANTS, Variant, VariantRows, drawn
from speech_rnn.comparison.plan import Trial
from speech_rnn.comparison.results import Answers, Header, Measured, Results
from speech_rnn.config import RunSettings
from speech_rnn.data.clips import SILENCE, UNKNOWN, JudgedPart, Part
from speech_rnn.data.store import Store
from speech_rnn.data.task import JUDGING_SEED, Items, Task
from speech_rnn.errors import ModelError
from speech_rnn.export.artefact import int8_stream
from speech_rnn.export.calibration import calibration_features
from speech_rnn.feature_cache import DigestedRows, FeatureArray, FeatureFile, cached_features
from speech_rnn.gradient_flow import gradient_flow
from speech_rnn.runs import Run, load_run
from speech_rnn.scoring import BATCH, judged_clips

INT8 = "int8:0"
MOST_WORDS = 500  # of the clips that are asked for after a gap
MOST_GRADIENTS = 256
TAUGHT_CLIPS = 10_000
TAUGHT_GAPS = 500  # of each kind


def measure(folder: Path, header: Header, trial: Trial, store: Store, *, workers: int | None = None) -> Measured:
    """What a trained cell does with other sound than the judged clips as they are.

    Where the cell can't be converted to eight bits, those are left out of the answers.

    Args:
        folder: of its run, which has ended.
        header: of the comparison; cells of the middle size are taught to remember too.
        trial: which training.
        store: the recordings.
        workers: processes that make sound which isn't in the cache yet; as many as there are cores where not given.

    Raises:
        ModelError: the run's files are damaged.
        DataError: the part to judge by has no words.
    """
    # Dropout's generators are drawn when a model is built.
    keras.utils.set_random_seed(trial.seed)
    run = load_run(folder, "final")
    sounds = MeasuringSounds(store, header.plan.base, header.labels, header.plan.part, workers)
    spoken, answers = sounds.spoken, {}
    for variant in VARIANTS:
        right = _right(run.classifier, sounds.features(sounds.variant(variant)), spoken.label)
        answers[variant.key] = right
    with suppress(ModelError):
        answers[INT8] = right_in_8_bits(run, sounds)
    some = drawn(spoken, MOST_GRADIENTS, "clips of gradients")
    heard = np.array(sounds.features(VariantRows(store, some, sounds.part, RECORDED)))
    norms = gradient_flow(run.classifier, heard, some.label)
    longer = build_longer(run.classifier)
    answers |= _recalled(longer, run.settings, sounds, "gap")
    if is_taught(header, trial):
        teach(longer, sounds.lessons(), run.settings.training, steps=header.plan.taught_steps)
        answers |= _recalled(longer, run.settings, sounds, "taught_gap")
    return Measured(
        key=trial.key,
        answers={key: Answers.of(right) for key, right in answers.items()},
        gradient_norms=tuple(norms.tolist()),
    )


def to_measure(results: Results, runs: Path) -> list[Trial]:
    """The trainings that are done and not measured, whose runs are kept, in the order in which they were done.

    Args:
        results: of a comparison.
        runs: the folder of its runs.
    """
    trials = {trial.key: trial for trial in results.header.trials if is_measured(results.header, trial)}
    return [
        trials[key]
        for key in results.finished
        if key in trials and key not in results.measured and (runs / key / "final.npz").exists()
    ]


def is_taught(header: Header, trial: Trial) -> bool:
    """Whether a cell is taught to remember: those of the middle size alone, since that takes a training."""
    plan = header.plan
    return plan.taught_steps > 0 and plan.is_middle(trial.cell, trial.units, header.contenders)


def is_measured(header: Header, trial: Trial) -> bool:
    """Whether a training's cell is measured at all."""
    plan = header.plan
    in_question = plan.measured == "all" or plan.is_middle(trial.cell, trial.units, header.contenders)
    return trial.study == "cells" and in_question


@dataclass(frozen=True)
class MeasuringSounds:
    """What all cells hear when they are measured; made once, and kept in the cache.

    Attributes:
        store: the recordings.
        settings: those that all trainings share.
        labels: in the order of the scores.
        part: whose clips are heard.
        workers: processes that make what isn't there.
    """

    store: Store
    settings: RunSettings
    labels: tuple[str, ...]
    part: JudgedPart
    workers: int | None

    @cached_property
    def spoken(self) -> Items:
        """At most :data:`~speech_rnn.comparison.measures.variants.MOST_CLIPS` judged clips, silence left out."""
        return drawn(self._judged, MOST_CLIPS, "measured clips")

    @cached_property
    def words(self) -> Items:
        """At most :data:`MOST_WORDS` judged clips of words that have a label of their own."""
        judged = self._judged
        special = [i for i, label in enumerate(self.labels) if label in (SILENCE, UNKNOWN)]
        return drawn(judged[np.flatnonzero(~np.isin(judged.label, special))], MOST_WORDS, "clips before gaps")

    def variant(self, variant: Variant) -> VariantRows:
        """The spoken clips under a variant."""
        return VariantRows(self.store, self.spoken, self.part, variant)

    def followed(self, kind: GapKind) -> FollowedRows:
        """The words, each followed by the longest gap after which is asked."""
        words = self.words
        return FollowedRows(words.clip, self._gaps(kind, self.part, max(ASKED_S), words.key))

    def lessons(self) -> Lessons:
        """Training clips as they were recorded, silence left out, and gaps of training."""
        task = Task.to_learn(self.settings.task, self.store.clips)
        items = task.items("training", 0, JUDGING_SEED)
        items = items[np.flatnonzero(items.clip >= 0)[:TAUGHT_CLIPS]]
        clips = self.features(VariantRows(self.store, items, "training", RECORDED))
        keys = np.arange(TAUGHT_GAPS)
        gaps = {kind: self.features(self._gaps(kind, "training", TAUGHT_S, keys)) for kind in GAP_KINDS}
        return Lessons(
            FeatureFile(clips),
            items.label,
            {kind: FeatureFile(file) for kind, file in gaps.items()},
            TAUGHT_GAPS,
            gaps[GAP_KINDS[0]].shape[1],
        )

    def features(self, rows: DigestedRows) -> FeatureArray:
        """MFCC of some of these, float32 [clips, frames, n_mfcc]."""
        return cached_features(
            rows,
            self.settings.features,
            self.store.cache,
            title="sound to measure by",
            workers=None if self.workers is None else max(self.workers, 1),
        )

    @cached_property
    def _judged(self) -> Items:
        items = judged_clips(self.labels, self.settings, self.store, self.part).items
        return items[np.flatnonzero(items.clip >= 0)]

    def _gaps(self, kind: GapKind, part: Part, seconds: float, keys: NDArray[np.int64]) -> GapRows:
        length = round(seconds * self.store.sample_rate)
        return GapRows(self.store, part, kind, length, keys, other_words(self.store, self.labels, part))


def right_in_8_bits(run: Run, sounds: MeasuringSounds) -> NDArray[np.bool_]:
    """Which of the spoken clips a run's stream file in eight bits has right, sound in and scores out: bool [clips].

    Args:
        run: with the weights of its last epoch.
        sounds: what is heard.

    Raises:
        ModelError: the classifier can't be converted.
    """
    calibration = calibration_features(run.settings, sounds.store)
    model = int8_stream(run, name="measured", calibration=calibration, which="final")
    rows, labels = sounds.variant(RECORDED), sounds.spoken.label
    heard = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), BATCH):
        some = np.arange(start, min(start + BATCH, len(rows)))
        clips = rows.read(some) * np.float32(1 / FULL_SCALE_INT16)
        heard[some] = model.clip_scores(clips).argmax(axis=1)
    return np.asarray(heard == labels)


def _right(classifier: keras.Model, mfcc: FeatureArray, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    starts = range(0, len(labels), BATCH)
    logits = [classifier.predict_on_batch(np.asarray(mfcc[start : start + BATCH])) for start in starts]
    return np.asarray(np.concatenate(logits).argmax(axis=1) == labels)


def _recalled(
    longer: keras.Model, settings: RunSettings, sounds: MeasuringSounds, what: str
) -> dict[str, NDArray[np.bool_]]:
    """``WHAT_KIND:SECONDS`` -> which of the words are still known."""
    steps = list(map(partial(steps_by, features=settings.features, stack=settings.model.stack), ASKED_S))
    labels = sounds.words.label
    return {
        f"{what}_{kind}:{seconds:g}": right
        for kind in GAP_KINDS
        for seconds, right in zip(
            ASKED_S, recall(longer, sounds.features(sounds.followed(kind)), labels, steps), strict=True
        )
    }

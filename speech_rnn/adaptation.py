"""New words on a trained body: the recurrent layers stay, the last layer learns other labels from a few clips a word.

What isn't one of the new words must be learned too. A model folder therefore holds what its body made of words of its
own training (:data:`OTHERS_FILE`): states, no sound.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic, checkpoint
from speech_rnn.card import AGAIN, OTHERS_FILE, clipped, read_checked
from speech_rnn.config import AugmentationSettings, RunSettings, TaskSettings
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.clips import SILENCE, UNKNOWN, SourceRecord
from speech_rnn.data.store import Store
from speech_rnn.data.task import JUDGING_SEED, Items, Task
from speech_rnn.errors import DataError, ModelError
from speech_rnn.models import build_classifier
from speech_rnn.prepared.shard_input import ShardInput
from speech_rnn.prepared.shards import Shards
from speech_rnn.recordings import Recordings, open_recordings
from speech_rnn.runs import Run, RunRecord, load_run, new_record, write_record
from speech_rnn.trained import Trained, normalization_of

N_OTHERS = 1_000
WORD_ITEMS = 4_000  # bent clips of all new words together
SILENCE_ITEMS = 400
BATCH = 256
EPOCHS = 60
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class Others:
    """What a body makes of words that were heard in its training.

    Attributes:
        states: float32 [n, units], after the last frame of a bent clip.
        words: which word each is, as its training named it.
    """

    states: NDArray[np.float32]
    words: Sequence[str]

    @classmethod
    def of(cls, run: Run, recordings: Recordings) -> Others:
        """From training clips of a run, as many of each word, bent as in its first epoch."""
        if isinstance(recordings, Shards):
            return cls._of_shards(run, recordings)
        store = recordings
        task = Task.to_learn(run.settings.task, store.clips)
        pool = task.splice_partners()
        words = task.word_of(pool)
        each = math.ceil(N_OTHERS / max(1, len(task.heard_words)))
        chosen = np.concatenate([pool[words == word][:each] for word in range(len(task.heard_words))])
        # A label that none has: clips of the unknown are spliced and reversed, and would be no words then.
        items = Items(chosen, np.full(len(chosen), len(task.labels), np.int64), chosen)
        batch = BatchMaker(store, task, run.settings).batch(items, "training", 0)
        return cls(_States(run.classifier)(batch.features), [task.heard_words[word] for word in batch.words])

    @classmethod
    def _of_shards(cls, run: Run, shards: Shards) -> Others:
        """The same, of the clips that come first."""
        features: list[NDArray[np.float32]] = []
        words: list[str] = []
        with ShardInput(shards, run.settings, workers=0) as heard:
            each = math.ceil(N_OTHERS / max(1, len(heard.heard_words)))
            missing = dict.fromkeys(range(len(heard.heard_words)), each)
            for batch in heard.training(0):
                for row, word in enumerate(batch.words.tolist()):
                    if missing.get(word, 0):
                        missing[word] -= 1
                        features.append(batch.features[row])
                        words.append(heard.heard_words[word])
                if not any(missing.values()):
                    break
        return cls(_States(run.classifier)(np.stack(features)), words)

    def to_bytes(self) -> bytes:
        """As a file of states in 8 bits, and their scale."""
        scale = float(np.abs(self.states).max(initial=0.0)) / 127 or 1.0
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            states=np.rint(self.states / scale).astype(np.int8),
            scale=np.float32(scale),
            words=np.array(json.dumps(list(self.words))),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, units: int) -> Others:
        """From such a file; :class:`ModelError` where it is none, or of another body."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                states = np.asarray(file["states"], np.float32) * np.asarray(file["scale"], np.float32)
                words = json.loads(str(file["words"]))
        except checkpoint.DAMAGES as error:
            raise ModelError(f"{OTHERS_FILE} is damaged ({clipped(' '.join(str(error).split()))}); {AGAIN}") from None
        if states.ndim != 2 or states.shape[1] != units or not len(states) == len(words):
            raise ModelError(f"{OTHERS_FILE} is of another model; {AGAIN}")
        return cls(states, [str(word) for word in words])


def others_of(trained: Trained, cache: Path) -> Others | None:
    """What a classifier makes of other words: from the model's folder, or from the recordings of the run.

    Raises:
        ModelError: the file is damaged.
        DataError: the recordings of the run are no longer there.
    """
    if isinstance(trained.origin, Run):
        run = trained.origin
        _, recordings = open_recordings([source.name for source in run.record.sources], trained.features, cache)
        return Others.of(run, recordings)
    folder, card = trained.origin
    if OTHERS_FILE not in card.files:
        return None
    return Others.from_bytes(read_checked(folder, OTHERS_FILE, card), trained.model.units)


class _States:
    """What the last recurrent layer of a classifier holds after the last frame."""

    def __init__(self, classifier: keras.Model) -> None:
        self._body = keras.Model(classifier.input, classifier.get_layer("logits").input)

    def __call__(self, mfcc: NDArray[np.float32]) -> NDArray[np.float32]:
        """MFCC float32 [clips, frames, n_mfcc] -> float32 [clips, units]."""
        # Batches of one size: another would be traced anew, which takes longer than it runs.
        padded = np.zeros((-(-len(mfcc) // BATCH) * BATCH, *mfcc.shape[1:]), np.float32)
        padded[: len(mfcc)] = mfcc
        rows = [self._body.predict_on_batch(padded[start : start + BATCH]) for start in range(0, len(padded), BATCH)]
        return np.concatenate(rows)[: len(mfcc)]


def adapt(
    body: Trained,
    others: Others | None,
    store: Store,
    sources: Sequence[SourceRecord],
    folder: Path,
    *,
    labels: Sequence[str] | None = None,
    seed: int = 1,
) -> Run:
    """Learn new labels on a body, and leave a run that can be evaluated and exported.

    Args:
        body: whose recurrent layers are kept.
        others: what it makes of other words, see :func:`others_of`; ``None`` where only the store tells.
        store: decoded clips of the new words; other words in it are unknown words.
        sources: of the store, for the record.
        folder: of the run; must not hold one yet.
        labels: the new words; all words of the store where not given.
        seed: of the draws.

    Raises:
        DataError: a word has no training clip, or there are no other words.
    """
    settings = RunSettings(
        features=body.features,
        model=body.model,
        task=TaskSettings(labels="all" if labels is None else tuple(labels), unknown_share=0.0, silence_share=0.0),
        augmentation=AugmentationSettings(),
    )
    settings = settings.changed(training=settings.training.changed(seed=seed, epochs=EPOCHS, batch_size=BATCH))
    words = Task.to_learn(settings.task, store.clips).words
    settings = settings.changed(task=settings.task.changed(labels=words, unknown_share=None, silence_share=None))
    task = Task((SILENCE, UNKNOWN, *words), store.clips, unknown_share=1.0, silence_share=1.0)
    states, targets = _examples(body, others, store, task, settings)
    keras.utils.set_random_seed(seed)
    head = keras.Sequential([keras.Input(states.shape[1:]), keras.layers.Dense(len(task.labels))])
    steps = EPOCHS * math.ceil(len(states) / BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    head.compile(
        keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    fitted = head.fit(states, targets, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    classifier = build_classifier(
        body.model,
        body.features.n_frames,
        body.features.n_mfcc,
        len(task.labels),
        **normalization_of(body.classifier),
    )
    n_head = len(head.weights)
    classifier.set_weights([*body.classifier.get_weights()[:-n_head], *head.get_weights()])
    record = new_record(settings, task.labels, sources, len(states), begun_from=_digest(body.classifier.get_weights()))
    judged = BatchMaker(store, Task.to_judge(task.labels, settings.task, store.clips), settings)
    _write(folder, record, classifier, judged, float(fitted.history["loss"][-1]))
    return load_run(folder)


def _write(folder: Path, record: RunRecord, classifier: keras.Model, maker: BatchMaker, loss: float) -> None:
    """A run whose only epoch is the best and the last."""
    folder.mkdir(parents=True, exist_ok=True)
    items = maker.task.items("validation", 0, JUDGING_SEED)
    validated: dict[str, float] = {}
    if len(items):
        batches = [maker.batch(items[n : n + BATCH], "validation", 0) for n in range(0, len(items), BATCH)]
        logits = np.concatenate([classifier.predict_on_batch(batch.features) for batch in batches])
        cross_entropy = keras.losses.sparse_categorical_crossentropy(items.label, logits, from_logits=True)
        validated = {
            "validation_loss": float(keras.ops.mean(cross_entropy)),
            "validation_accuracy": float((logits.argmax(axis=1) == items.label).mean()),
        }
    epoch = {"epoch": 1, "loss": loss, "clips": record.clips, "validation_clips": len(items), **validated}
    normalization = {name: values.tolist() for name, values in normalization_of(classifier).items()}
    for name in ("best.npz", "final.npz"):
        checkpoint.save(folder / name, classifier.weights, normalization)
    atomic.write_text(folder / "history.jsonl", json.dumps(epoch) + "\n")
    write_record(folder, record)  # the last makes it a run


def _examples(
    body: Trained, others: Others | None, store: Store, task: Task, settings: RunSettings
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """States and labels that the new layer learns from; a label's examples weigh as much as another's."""
    maker, unknown = BatchMaker(store, task, settings), task.labels.index(UNKNOWN)
    maker.render()
    every = task.items("training", 0, settings.training.seed)
    spoken = every[np.flatnonzero(every.clip >= 0)]
    own, unwanted = (spoken[np.flatnonzero((spoken.label == unknown) == is_other)] for is_other in (False, True))
    noise = np.arange(SILENCE_ITEMS, dtype=np.int64)
    silence = Items(np.full_like(noise, -1), np.full_like(noise, task.labels.index(SILENCE)), -1 - noise)
    heard = [(own, time) for time in range(math.ceil(WORD_ITEMS / len(own)))]
    heard += [(unwanted, time) for time in range(math.ceil(N_OTHERS / len(unwanted)) if len(unwanted) else 0)]
    batches = [
        maker.batch(items[start : start + BATCH], "training", time)
        for items, time in [*heard, (silence, 0)]
        for start in range(0, len(items), BATCH)
    ]
    states = [_States(body.classifier)(np.concatenate([batch.features for batch in batches]))]
    targets = [np.concatenate([batch.labels for batch in batches])]
    if others is not None:
        kept = np.array([word not in task.words for word in others.words])
        states.append(others.states[kept])
        targets.append(np.full(int(kept.sum()), unknown, np.int64))
    elif not len(unwanted):
        raise DataError(
            f"{body.name} has no {OTHERS_FILE}, and the recordings have no other words; add --data other:FOLDER, a "
            "folder of words that are not to be recognized"
        )
    return np.concatenate(states), np.concatenate(targets)


def _digest(weights: Sequence[NDArray[np.float32]]) -> str:
    return hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest()

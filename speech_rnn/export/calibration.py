"""Training clips that tell the quantizer what values to expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import RunSettings
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.store import Store
from speech_rnn.data.task import Task

CLIPS = 256


def calibration_features(settings: RunSettings, store: Store) -> NDArray[np.float32]:
    """Features of some training clips, bent as in a run's first epoch, silence and unknown among them.

    Args:
        settings: of the run, which draw them.
        store: the decoded training recordings, or others of the same words.

    Returns:
        float32 [clips, frames, n_mfcc], at most :data:`CLIPS` clips; the same at every call.

    Raises:
        DataError: a word of the task has no training clip there.
    """
    task = Task.to_learn(settings.task, store.clips)
    items = task.items("training", 0, settings.training.seed)[:CLIPS]
    return BatchMaker(store, task, settings).batch(items, "training", 0).features

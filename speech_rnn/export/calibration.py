"""Training clips that tell the quantizer what values to expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.store import Store
from speech_rnn.data.task import Task
from speech_rnn.runs import Run

CLIPS = 256


def calibration_features(run: Run, store: Store) -> NDArray[np.float32]:
    """Features of some training clips, bent as in the run's first epoch, silence and unknown among them.

    Args:
        run: whose settings and seed draw them.
        store: the decoded training recordings, or others of the same words.

    Returns:
        float32 [clips, frames, n_mfcc], at most :data:`CLIPS` clips; the same at every call.

    Raises:
        DataError: a word of the run has no training clip there.
    """
    task = Task.to_learn(run.settings.task, store.clips)
    items = task.items("training", 0, run.settings.training.seed)[:CLIPS]
    return BatchMaker(store, task, run.settings).batch(items, "training", 0).features

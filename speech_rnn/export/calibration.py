"""Training clips that tell the quantizer what values to expect."""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import RunSettings
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.task import Task
from speech_rnn.prepared.shard_input import ShardInput
from speech_rnn.prepared.shards import Shards
from speech_rnn.recordings import Recordings

CLIPS = 256


def calibration_features(settings: RunSettings, recordings: Recordings) -> NDArray[np.float32]:
    """Features of some training clips, bent as in a run's first epoch, silence and unknown among them.

    Args:
        settings: of the run, which draw them.
        recordings: the training recordings, decoded or prepared, or others of the same words.

    Returns:
        float32 [clips, frames, n_mfcc], at most :data:`CLIPS` clips; the same at every call.

    Raises:
        DataError: a word of the task has no training clip there.
    """
    if isinstance(recordings, Shards):
        with ShardInput(recordings, settings, workers=0) as heard:
            parts = (batch.features for batch in heard.training(0))
            return np.concatenate(list(islice(parts, -(-CLIPS // settings.training.batch_size))))[:CLIPS]
    task = Task.to_learn(settings.task, recordings.clips)
    items = task.items("training", 0, settings.training.seed)[:CLIPS]
    return BatchMaker(recordings, task, settings).batch(items, "training", 0).features

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from speech_rnn.data.bending import ALL, Share
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.inputs import StoreInput
from speech_rnn.data.store import open_store
from speech_rnn.data.task import Task
from tests.tones import FEATURES, tone_settings, write_tones

SETTINGS = tone_settings()


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreInput]:
    folder = tmp_path_factory.mktemp("tones")
    store = open_store([FolderSource(write_tones(folder / "data"))], FEATURES, folder / "cache")
    with StoreInput(store, SETTINGS, workers=0) as heard:
        yield heard


@pytest.mark.parametrize("workers", [2, 3, 11])
def test_workers_that_share_batches_hear_together_what_one_alone_hears(heard: StoreInput, workers: int) -> None:
    alone = list(heard.training(1))
    shares = [list(heard.training(1, share=Share(worker, workers))) for worker in range(workers)]

    assert len(alone[-1].labels) not in (0, len(alone[0].labels)), "the last batch is to be a short one"
    for number, batch in enumerate(alone):
        for whole, *of_workers in zip(batch, *(share[number] for share in shares), strict=True):
            np.testing.assert_array_equal(np.concatenate(of_workers), whole)
        for worker, share in enumerate(shares):
            rows = heard.rows(len(batch.labels), Share(worker, workers))
            np.testing.assert_array_equal(share[number].features, batch.features[rows])


def test_batches_are_left_out_at_the_beginning_of_an_epoch(heard: StoreInput) -> None:
    whole, rest = list(heard.training(0)), list(heard.training(0, first_batch=2))

    assert len(rest) == len(whole) - 2
    np.testing.assert_array_equal(rest[0].features, whole[2].features)


def test_an_epoch_has_as_many_clips_as_it_says(heard: StoreInput) -> None:
    assert sum(len(batch.labels) for batch in heard.training(0, share=ALL)) == heard.clips


def test_validation_is_the_tasks_and_the_same_at_each_call(heard: StoreInput) -> None:
    task = Task.to_learn(SETTINGS.task, heard.store.clips)
    first, second = list(heard.validation()), list(heard.validation())

    labels = np.concatenate([part.labels for part in first])
    np.testing.assert_array_equal(labels, task.items("validation", 0, 7).label)
    np.testing.assert_array_equal(first[0].features, second[0].features)


def test_nothing_is_heard_before_it_is_entered(heard: StoreInput) -> None:
    with pytest.raises(RuntimeError):
        heard_outside = StoreInput(heard.store, SETTINGS)
        next(iter(heard_outside.training(0)))

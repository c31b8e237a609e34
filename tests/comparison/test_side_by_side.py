from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from speech_rnn.comparison.side_by_side import as_done, shared_store, side_by_side
from speech_rnn.data.store import Store
from speech_rnn.errors import SpeechRnnError
from speech_rnn.preparation import prepare
from tests.tones import small_settings, write_tones


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("recordings")
    return prepare([str(write_tones(folder / "tones"))], small_settings(), folder / "cache").store


def clips_and_what_was_asked(number: int) -> tuple[int, int]:
    print("asked for", number)
    return len(shared_store()), number


def die(number: int) -> int:
    os._exit(number)


@pytest.mark.slow
def test_each_process_has_the_recordings_writes_into_the_log_and_takes_what_is_next_when_it_is_free(
    store: Store, tmp_path: Path
) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(4):
            taken.append(number)
            yield number

    with side_by_side(1, store, tmp_path / "log") as pool:
        found = [(*done, len(taken)) for done in as_done(pool, 1, clips_and_what_was_asked, items())]

    assert found == [(len(store), number, number + 1) for number in range(4)]
    assert (tmp_path / "log").read_text().count("asked for") == 4


@pytest.mark.slow
def test_a_process_that_dies_is_told_of_in_words(store: Store, tmp_path: Path) -> None:
    with (
        pytest.raises(SpeechRnnError, match="a training's process ended before its work was done, killed for want of"),
        side_by_side(1, store, tmp_path / "log") as pool,
    ):
        list(as_done(pool, 1, die, [3]))


def test_what_is_no_process_of_a_pool_has_no_recordings() -> None:
    with pytest.raises(RuntimeError, match="a process of another pool"):
        shared_store()

"""The TFDS builder in ``datasets/keyword_features``, without the command around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_rnn.beam.running import engine, running
from speech_rnn.errors import DataError
from speech_rnn.prepared.building import builder_class, prepare
from speech_rnn.prepared.pieces import examples, read_piece
from speech_rnn.prepared.pipeline import Plan, tally_path
from speech_rnn.prepared.planning import open_all, plan
from speech_rnn.prepared.record import SPLITS
from tests.prepared.small import TINY, write_words


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("recordings") / "words", 40)


def expected(work: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for unit in work.units:
        piece = read_piece(work.pieces, unit, work.settings)
        assert piece is not None
        yield from examples(piece)


def test_it_makes_what_is_missing_in_one_pipeline(words: Path, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    work = plan(open_all([str(words)]), TINY, str(tmp_path / "pieces"))
    here = engine(None, [], 1)
    with running("features", 80, lambda: 0):
        builder = builder_class()(plan=work, data_dir=tmp_path / "data")
        builder.download_and_prepare(
            download_dir=tmp_path / "downloads",
            download_config=tfds.download.DownloadConfig(beam_runner=here.runner, beam_options=here.options()),
        )

    assert builder.info.full_name == "keyword_features/1.0.0"
    assert builder.info.description.startswith("Log-mel features of spoken words")
    assert builder.info.metadata["features"]["n_mels"] == TINY.n_mels
    found = {
        example["name"].decode(): example
        for split in builder.info.splits
        for example in builder.as_dataset(split=split).as_numpy_iterator()
    }
    assert len(found) == 80
    for name, example in expected(work):
        np.testing.assert_array_equal(found[name]["log_mel"], example["log_mel"])
    counts = {part: json.loads(Path(tally_path(work.pieces, part)).read_text())[0] for part in SPLITS}
    assert counts == {part: builder.info.splits[split].num_examples for part, split in SPLITS.items()}


def test_it_reads_a_data_set_that_is_there_by_its_own_settings(words: Path, tmp_path: Path) -> None:
    prepare([str(words)], TINY, str(tmp_path / "features"), engine(None, [], 1))

    builder = builder_class()(data_dir=tmp_path / "features")

    example = next(builder.as_dataset(split="train").as_numpy_iterator())
    assert example["log_mel"].shape == (TINY.n_frames, TINY.n_mels)


def test_without_a_plan_there_is_nothing_to_make(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="keyword_features needs a plan to be made; run speech-rnn prepare"):
        builder_class()(data_dir=tmp_path)._split_generators(None, None)

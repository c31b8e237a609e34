from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_rnn.config import FeatureSettings
from speech_rnn.data.inspection import inspect
from speech_rnn.data.sources import open_source
from speech_rnn.data.store import open_store
from speech_rnn.errors import DataError
from speech_rnn.prepared import planning
from speech_rnn.prepared.planning import open_all, plan, plan_digest, suggested_f_max
from tests.prepared.small import TINY, speaker, write_words


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """Recordings at 8 kHz, so nothing above 4 kHz, and one that is none."""
    folder = tmp_path / "narrow" / "yes"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(4)
    for number in range(40):
        soundfile.write(folder / f"{speaker(number)}_nohash_0.wav", rng.normal(0, 0.1, 8_000), 8_000)
    (folder / "broken.wav").write_bytes(b"no sound")
    return folder.parent


def test_a_source_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    words = write_words(tmp_path / "words", 2)

    with pytest.raises(DataError, match="a source is named twice"):
        open_all([str(words), str(words / ".." / "words")])


def test_the_plan_is_the_same_until_something_changes(tmp_path: Path) -> None:
    words = write_words(tmp_path / "words", 12)
    first = plan_digest(plan(open_all([str(words)]), TINY, "here"))

    assert plan_digest(plan(open_all([str(words)]), TINY, "there")) == first
    assert plan_digest(plan(open_all([str(words)]), TINY.changed(n_mels=5), "here")) != first
    (words / "yes" / "new.wav").write_bytes(b"x")
    assert plan_digest(plan(open_all([str(words)]), TINY, "here")) != first


def test_the_highest_frequency_is_the_one_that_training_would_choose(narrow: Path, tmp_path: Path) -> None:
    settings = FeatureSettings()
    suggested = suggested_f_max(plan(open_all([str(narrow)]), settings, ""))

    (narrow / "yes" / "broken.wav").unlink()
    store = open_store([open_source(str(narrow))], settings, tmp_path / "cache")
    assert suggested == inspect(store, settings).suggested_f_max
    assert 3_900.0 <= suggested <= 4_200.0


def test_a_sample_is_enough_and_always_the_same(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SAMPLE", 10)
    work = plan(open_all([str(narrow)]), FeatureSettings(), "")

    first = suggested_f_max(work)

    assert 3_900.0 <= first <= 4_200.0
    assert suggested_f_max(work) == first


def test_where_nothing_can_be_read_the_usual_stays(tmp_path: Path) -> None:
    (tmp_path / "words" / "yes").mkdir(parents=True)
    (tmp_path / "words" / "yes" / "a.wav").write_bytes(b"no sound")

    assert suggested_f_max(plan(open_all([str(tmp_path / "words")]), FeatureSettings(), "")) == 7_600.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speech_rnn.config import TaskSettings
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.sources import lasting_name, open_source, open_sources
from speech_rnn.data.store import open_store
from speech_rnn.data.task import Task
from speech_rnn.errors import DataError
from tests.tones import FEATURES, write_tones


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("sources") / "tones")


def test_other_words_are_those_of_the_source_under_names_that_are_no_labels(folder: Path) -> None:
    plain, other = FolderSource(folder), open_source(f"other:{folder}")

    assert [clip.word for clip in other.clips] == [f"_tones:{clip.word}" for clip in plain.clips]
    assert [(clip.name, clip.speaker, clip.part) for clip in other.clips] == [
        (clip.name, clip.speaker, clip.part) for clip in plain.clips
    ]
    assert other.title == f"other:{folder}"
    assert (other.origin, other.noises, other.synthetic) == (plain.origin, plain.noises, plain.synthetic)
    assert other.digest() != plain.digest()
    for one, two in zip(other.waveforms(8_000), plain.waveforms(8_000), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(list(other.noise_waveforms(8_000))) == len(plain.noises)


def test_a_word_of_another_language_is_unknown_though_it_has_a_label_s_name(folder: Path, tmp_path: Path) -> None:
    second = write_tones(tmp_path / "arabic", first_speaker=1_000)
    store = open_store(open_sources([str(folder), f"other:{second}"]), FEATURES, tmp_path / "cache")

    task = Task.to_learn(TaskSettings(labels=("low", "high"), unknown_share=3.0, silence_share=0.0), store.clips)
    items = task.items("training", 0, 1)

    words = {(task.labels[label], store.clips[clip].word) for clip, label in zip(items.clip, items.label, strict=True)}
    assert words == {
        ("low", "low"),
        ("high", "high"),
        *(("_unknown_", word) for word in ("middle", "_arabic:low", "_arabic:middle", "_arabic:high")),
    }
    assert Task.to_learn(TaskSettings(labels="all"), store.clips).words == ("high", "low", "middle")
    assert task.heard_words == ("_arabic:high", "_arabic:low", "_arabic:middle", "high", "low", "middle")


def test_the_name_lasts_and_is_opened_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)

    assert lasting_name("other:tones") == f"other:{folder.resolve()}"
    assert open_source(lasting_name("other:tones")).digest() == open_source("other:tones").digest()


def test_what_is_no_source_is_told_with_its_name() -> None:
    with pytest.raises(DataError, match="'nowhere' is not a source of recordings"):
        open_source("other:nowhere")
    with pytest.raises(DataError, match="named twice"):
        open_sources(["other:corpus", "other:corpus"])

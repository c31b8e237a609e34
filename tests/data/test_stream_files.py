from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speech_rnn.audio import read_audio
from speech_rnn.data.clips import UNKNOWN
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import open_store
from speech_rnn.data.stream_files import read_truth, truth_beside, write_stream
from speech_rnn.data.stream_settings import StreamSettings
from speech_rnn.data.streams import Said, StreamBuilder
from speech_rnn.errors import DataError
from tests.tones import FEATURES, RATE, write_tones


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> StreamBuilder:
    folder = tmp_path_factory.mktemp("streams")
    store = open_store([FolderSource(write_tones(folder / "words"))], FEATURES, folder / "cache")
    return StreamBuilder(store, ("low", "high"), settings=StreamSettings(length_s=60.0, scene_s=20.0))


def test_sound_and_truth_come_back_from_their_files_as_they_were_made(builder: StreamBuilder, tmp_path: Path) -> None:
    path = write_stream(builder, 7, tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "stream-0007.flac",
        "stream-0007.json",
        "stream-0007.txt",
    ]
    expected = np.concatenate([scene.samples for scene in builder.scenes(7)])
    np.testing.assert_array_equal(read_audio(path, RATE), expected)
    assert truth_beside(path) == tmp_path / "stream-0007.json"
    assert read_truth(tmp_path / "stream-0007.json", builder.labels) == builder.truth(7)
    from_track = read_truth(tmp_path / "stream-0007.txt", builder.labels)
    assert [(w.label, w.start, w.end) for w in from_track] == [(w.label, w.start, w.end) for w in builder.truth(7)]


def test_what_the_model_does_not_report_is_another_word(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1.0\t1.5\tyes\n3\t3.5\tmaybe\n2\t2.5\t\n")

    assert read_truth(tmp_path / "a.txt", ("yes",)) == (
        Said("yes", 1.0, 1.5),
        Said(UNKNOWN, 2.0, 2.5, "other word"),
        Said(UNKNOWN, 3.0, 3.5, "other word"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "no truth as --keep writes it"),
        ('[{"label": "yes", "start": 2, "end": 1}]', "ends at 1.0 s, before it starts"),
        ('[{"label": "yes", "start": -2, "end": 1}]', "0.start"),
        ('[{"label": "yes", "start": 1, "end": 1, "kind": "shout"}]', "0.kind"),
        ('[{"label": "yes", "start": NaN, "end": 1}]', "no truth"),
        ('[{"label": "yes", "start": 0, "end": 1, "more": 1}]', "0.more"),
        ("[" * 100_000, "no truth"),
    ],
)
def test_a_truth_that_is_none_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)

    with pytest.raises(DataError, match=words):
        read_truth(tmp_path / "a.json", ("yes",))


def test_a_recording_without_truth_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no 'a.txt' beside it; give --truth"):
        truth_beside(tmp_path / "a.wav")
    with pytest.raises(DataError, match="No such file"):
        read_truth(tmp_path / "a.json", ("yes",))


def test_a_folder_that_cannot_be_written_is_said_so(builder: StreamBuilder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="can't be written"):
        write_stream(builder, 0, tmp_path / "file")

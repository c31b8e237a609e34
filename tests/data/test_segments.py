from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.audio import read_audio
from speech_rnn.data.clips import Clip, Source
from speech_rnn.data.segments import SegmentsSource, cut, parse_segments
from speech_rnn.data.sources import lasting_name, open_source
from speech_rnn.data.split import official_part
from speech_rnn.errors import AudioError, DataError

HEAD = "file,start_s,stop_s,word\n"


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Two seconds of noise, at another rate than is wanted."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.random.default_rng(3).normal(0, 0.1, 88_200), 44_100)
    return path


def parsed(text: str) -> list[Clip]:
    return [segment.clip for segment in parse_segments(text.encode(), "talks/list.csv")]


def test_a_line_is_a_clip_and_columns_may_stand_in_any_order() -> None:
    clips = parsed("word,part,file,stop_s,start_s,speaker\nyes,testing,a/b.flac,1.5,0.25,anna\n\nno,,a/b.flac,2,1,\n")

    assert clips == [
        Clip("a/b.flac@0.25-1.5", "yes", "list/anna", "testing"),
        Clip("a/b.flac@1.0-2.0", "no", "", official_part("b.flac")),
    ]


def test_without_a_part_a_speaker_is_in_the_one_that_the_usual_rule_says() -> None:
    clips = parsed("file,start_s,stop_s,word,speaker\n" + "".join(f"a.wav,{n},{n}.5,yes,0a7c2a8d\n" for n in range(5)))

    assert {(clip.speaker, clip.part) for clip in clips} == {("0a7c2a8d", official_part("0a7c2a8d_nohash_0.wav"))}


def test_a_list_with_a_byte_order_mark_and_other_line_ends_is_read() -> None:
    assert len(parse_segments(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode() + b"a.wav,0,1,yes\r\n", "x")) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks the column file in its first line; name the columns there, as in  file,start_s"),
        ("file,start_s,word\n", "lacks the column stop_s"),
        ("file,start_s,stop_s,word,colour\n", "has an unknown column 'colour'"),
        ("file,start_s,stop_s,word,word\n", "has a column twice"),
        (HEAD, "has no segments; give a line for each"),
        (f"{HEAD}a.wav,0,1\n", "line 2: 3 values must be 4, one a column"),
        (f"{HEAD}a.wav,0,1,yes\n\na.wav,0,1,no,x\n", "line 4: 5 values must be 4"),
        (f"{HEAD}a.wav,zero,1,yes\n", "line 2: start_s='zero' must be a number of seconds"),
        (f"{HEAD}a.wav,0,nan,yes\n", "line 2: stop_s='nan' must be a number of seconds"),
        (f"{HEAD}a.wav,-1,1,yes\n", "line 2: start_s=-1, stop_s=1 must be 0.01 to 60 s of the recording"),
        (f"{HEAD}a.wav,2,1,yes\n", "line 2: start_s=2, stop_s=1 must be"),
        (f"{HEAD}a.wav,1,1,yes\n", "line 2: start_s=1, stop_s=1 must be"),
        (f"{HEAD}a.wav,0,61,yes\n", "line 2: start_s=0, stop_s=61 must be"),
        (f"{HEAD}a.wav,0,1,_yes\n", "line 2: word '_yes' can't be a label"),
        (f"{HEAD}a.wav,0,1,\n", "line 2: word '' can't be a label"),
        (f'{HEAD}a.wav,0,1,"y\nes"\n', r"line 3: word 'y\\nes' can't be a label"),
        (f"{HEAD}/etc/passwd,0,1,yes\n", "line 2: file '/etc/passwd' must lie below the list's folder"),
        (f"{HEAD}a/../../b.wav,0,1,yes\n", r"line 2: file 'a/\.\./\.\./b.wav' must lie below"),
        (f"{HEAD}..,0,1,yes\n", "must lie below the list's folder; give a path without"),
        (f"{HEAD}a\\b.wav,0,1,yes\n", "can't be a file's name"),
        (f"{HEAD}gs://b/a.wav,0,1,yes\n", "can't be a file's name"),
        (f"{HEAD}a\x1b[31m.wav,0,1,yes\n", "can't be a file's name"),
        (f"{HEAD},0,1,yes\n", "line 2: file '' can't be a file's name"),
        (f"{HEAD}a.wav,0,1,yes\na.wav,0.0,1.0,no\n", "line 3: it is the segment of line 2 again"),
        (
            "file,start_s,stop_s,word,speaker,part\na.wav,0,1,yes,anna,training\nb.wav,0,1,yes,anna,testing\n",
            "line 3: speaker 'anna' is in testing here and in training in line 2; give each one part",
        ),
        (f'{HEAD}a.wav,0,1,"yes\n', "line 2: unexpected end of data; mend the line"),
        ("file,start_s,stop_s,word,part\na.wav,0,1,yes,test\n", "line 2: part 'test' must be training, validation"),
        (f"file,start_s,stop_s,word,speaker\na.wav,0,1,yes,{'x' * 65}\n", "must be up to 64 printable characters"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(text: str, says: str) -> None:
    with pytest.raises(DataError, match=f"'talks/list.csv'.*{says}") as end:
        parsed(text)

    assert str(end.value).isprintable()


def test_a_list_that_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="is not UTF-8; save the list of segments as that"):
        parse_segments(b"\xff\xfe\x00", "x.csv")


def test_a_list_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match=r"'no/such.csv' can't be read \(No such file or directory\); give a list of"):
        SegmentsSource("no/such.csv")


@pytest.fixture(scope="module")
def short_talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "talk.wav"
    soundfile.write(path, np.random.default_rng(3).normal(0, 0.1, 16_000), 8_000)
    return path


@given(data=st.data())
def test_segments_are_what_the_whole_recording_has_there(short_talk: Path, data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.tuples(st.integers(0, 1_990), st.integers(1, 400)), max_size=12))
    whole = read_audio(short_talk, 16_000)
    times = [(start / 1_000, min(2_000, start + length) / 1_000) for start, length in starts]

    found = list(cut(short_talk, times, 16_000))

    assert len(found) == len(times)
    for (start, stop), samples in zip(times, found, strict=True):
        assert not isinstance(samples, AudioError)
        np.testing.assert_array_equal(samples, whole[round(start * 16_000) : round(stop * 16_000)])


def test_a_segment_that_ends_behind_the_recording_is_an_error_but_for_rounding(talk: Path) -> None:
    kept, beyond, far = cut(talk, [(1.5, 2.005), (1.5, 2.1), (7.0, 8.0)], 16_000)

    assert not isinstance(kept, AudioError)
    assert len(kept) == 8_000
    assert isinstance(beyond, AudioError)
    assert isinstance(far, AudioError)
    assert "ends at 2.00 s, before its segment of 7 to 8 s does; mend the list" in str(far)


def test_of_a_damaged_recording_what_comes_before_the_damage_is_good(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "talk.flac"
    soundfile.write(path, rng.normal(0, 0.1, 16_000 * 30), 16_000)
    whole = read_audio(path, 16_000)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.8 * len(data))])

    early, late = cut(path, [(1.0, 2.0), (28.0, 29.0)], 16_000)

    assert not isinstance(early, AudioError)
    np.testing.assert_array_equal(early, whole[16_000:32_000])
    assert isinstance(late, AudioError)


def test_the_source_gives_its_clips_in_the_order_of_the_list(talk: Path) -> None:
    listing = talk.with_name("list.csv")
    listing.write_text(f"{HEAD}talk.wav,1,1.5,yes\ntalk.wav,0,0.25,no\n")

    source: Source = open_source(f"segments:{listing}")

    assert [len(samples) for samples in source.waveforms(8_000)] == [4_000, 2_000]
    assert [clip.word for clip in source.clips] == ["yes", "no"]
    assert source.origin == "segments of list.csv"
    assert list(source.noise_waveforms(8_000)) == []
    assert lasting_name(f"segments:{listing}") == f"segments:{listing.resolve()}"


@pytest.mark.parametrize("change", ["word", "speaker", "time", "sound"])
def test_every_change_gives_another_digest(talk: Path, change: str) -> None:
    listing = talk.with_name("list.csv")
    line = {"word": "no", "time": "1.25"}
    before, after = (
        f"file,start_s,stop_s,word,speaker\ntalk.wav,0,{times},{word},{speaker}\n"
        for times, word, speaker in (
            ("1", "yes", "anna"),
            (
                line["time"] if change == "time" else "1",
                line["word"] if change == "word" else "yes",
                "bert" if change == "speaker" else "anna",
            ),
        )
    )
    listing.write_text(before)
    first = SegmentsSource(listing).digest()
    listing.write_text(after)
    if change == "sound":
        talk.write_bytes(talk.read_bytes()[:-2] + b"\1\1")

    assert SegmentsSource(listing).digest() != first


def test_a_recording_that_can_not_be_read_is_named(talk: Path) -> None:
    listing = talk.with_name("list.csv")
    listing.write_text(f"{HEAD}gone.wav,0,1,yes\n")

    with pytest.raises(AudioError, match=r"gone\.wav' does not exist"):
        list(SegmentsSource(listing).waveforms(8_000))

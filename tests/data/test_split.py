from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speech_rnn.data.split import is_global_speaker, official_part, read_list, speaker_of, without_suffix
from speech_rnn.errors import DataError

# The first lines of the lists that come with the data set.
OFFICIAL_VALIDATION = [
    "cat/8b775397_nohash_0.wav",
    "cat/2643992f_nohash_1.wav",
    "cat/060cd039_nohash_2.wav",
    "cat/f5e5e8b0_nohash_0.wav",
    "cat/dbb40d24_nohash_0.wav",
    "cat/d57febf0_nohash_0.wav",
    "cat/16db1582_nohash_4.wav",
    "go/6a27a9bf_nohash_0.wav",
    "go/989a2213_nohash_1.wav",
    "go/7c1d8533_nohash_6.wav",
    "four/605ed0ff_nohash_0.wav",
    "four/e63b69c5_nohash_3.wav",
]
OFFICIAL_TESTING = [
    "cat/2aa787cf_nohash_0.wav",
    "cat/ffa76c4a_nohash_0.wav",
    "cat/24ad3ebe_nohash_1.wav",
    "cat/d7467392_nohash_0.wav",
    "cat/5828dfa2_nohash_0.wav",
    "cat/91223b83_nohash_0.wav",
    "cat/f0ae7203_nohash_0.wav",
    "go/85834399_nohash_0.wav",
    "go/af405b69_nohash_0.wav",
    "go/c0e0f834_nohash_0.wav",
    "four/27c30960_nohash_0.wav",
    "four/9a7c1f83_nohash_5.wav",
]


@pytest.mark.parametrize("name", OFFICIAL_VALIDATION)
def test_names_of_the_official_validation_list_are_validation(name: str) -> None:
    assert official_part(name) == "validation"


@pytest.mark.parametrize("name", OFFICIAL_TESTING)
def test_names_of_the_official_testing_list_are_testing(name: str) -> None:
    assert official_part(name) == "testing"


def test_no_clip_that_was_published_without_its_testing_part_is_testing(recordings: Path) -> None:
    names = [path.name for path in (recordings / "speech_commands").glob("[a-z]*/*.opus")]

    parts = {official_part(name) for name in names}

    assert len(names) == 35_658
    assert parts == {"training", "validation"}


@given(name=st.text() | st.text("/._nohash0"), validation=st.floats(0, 100), testing=st.floats(0, 100))
@example(name="anna_nohash.wav", validation=10, testing=10)
@example(name="a_nohash_b_nohash_0.wav", validation=10, testing=10)
def test_the_rule_is_the_published_one(name: str, validation: float, testing: float) -> None:
    hash_name = re.sub(r"_nohash_.*$", "", name.rsplit("/", maxsplit=1)[-1])
    number = int(hashlib.sha1(hash_name.encode("utf-8")).hexdigest(), 16)
    percentage = (number % (134_217_727 + 1)) * (100.0 / 134_217_727)

    got = official_part(name, validation, testing)

    if percentage < validation:
        assert got == "validation"
    elif percentage < testing + validation:
        assert got == "testing"
    else:
        assert got == "training"


@given(
    speaker=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    takes=st.lists(st.tuples(st.sampled_from(["yes", "zoom in", "no"]), st.integers(0, 99)), min_size=2),
    suffix=st.sampled_from([".wav", ".opus"]),
)
def test_a_speaker_is_in_one_part_only(speaker: str, takes: list[tuple[str, int]], suffix: str) -> None:
    names = [f"{word}/{speaker}_nohash_{take}{suffix}" for word, take in takes]

    assert len({official_part(name) for name in names}) == 1
    assert {speaker_of(name) for name in names} == {speaker}


def test_the_parts_have_about_the_asked_sizes() -> None:
    parts = [official_part(f"{speaker:08x}_nohash_0.wav") for speaker in range(20_000)]

    # Three standard deviations of a binomial of 20,000 at 10 % are 127.
    assert abs(parts.count("validation") - 2_000) < 127
    assert abs(parts.count("testing") - 2_000) < 127


@pytest.mark.parametrize(
    ("name", "speaker", "everywhere_the_same"),
    [
        ("yes/0a7c2a8d_nohash_0.wav", "0a7c2a8d", True),
        ("anna_nohash_12.flac", "anna", False),
        ("0A7C2A8D_nohash_0.wav", "0A7C2A8D", False),
        ("0a7c2a8d9_nohash_0.wav", "0a7c2a8d9", False),
        ("take 3.wav", "", False),
        ("_nohash_0.wav", "", False),
    ],
)
def test_the_speaker_stands_before_nohash(name: str, speaker: str, everywhere_the_same: bool) -> None:
    assert speaker_of(name) == speaker
    assert is_global_speaker(speaker) == everywhere_the_same


@pytest.mark.parametrize(
    ("name", "stem"),
    [("yes/a_nohash_0.wav", "yes/a_nohash_0"), ("zoom in/a.b.OPUS", "zoom in/a.b"), ("yes/v1.5", "yes/v1.5")],
)
def test_only_the_suffix_of_a_sound_file_is_taken_off(name: str, stem: str) -> None:
    assert without_suffix(name) == stem


def test_a_list_is_read_whatever_program_wrote_it(tmp_path: Path) -> None:
    content = "\ufeffyes/a_nohash_0.wav\r\n\r\nzoom in\\b_nohash_1.flac\n  ./no/c.opus  \n"
    (tmp_path / "list.txt").write_bytes(content.encode())

    assert read_list(tmp_path / "list.txt") == {"yes/a_nohash_0", "zoom in/b_nohash_1", "no/c"}


@settings(max_examples=15)
@given(names=st.sets(st.from_regex(r"[a-z]{1,5}( [a-z]{1,3})?/[0-9a-f]{8}_nohash_[0-9]", fullmatch=True)))
def test_a_list_that_was_written_is_read_back(names: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lists") / "list.txt"
    path.write_text("".join(f"{name}.wav\n" for name in names), encoding="utf-8")

    assert read_list(path) == names


def test_the_published_arabic_list_is_read_whole(recordings: Path) -> None:
    names = read_list(recordings / "arabic_speech_commands" / "validation_list.txt")

    assert len(names) == 2_400
    assert len({speaker_of(name) for name in names}) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"yes/a.wav\nfoo.wav\n", r"line 2: 'foo\.wav' must be word/file"),
        (b"/yes/a.wav\n", r"line 1: '/yes/a\.wav' must be word/file"),
        (b"yes/\n", r"line 1: 'yes/' must be word/file"),
        (b"a/b/c.wav\n", r"line 1: 'a/b/c\.wav' must be word/file"),
        (b"yes/\xff.wav\n", r"can't be read as a list of recordings \(not UTF-8\)"),
    ],
)
def test_a_list_that_is_none_is_refused_with_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)

    with pytest.raises(DataError, match=rf"list\.txt'.*{message}"):
        read_list(tmp_path / "list.txt")


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.txt' can't be read as a list of recordings \(No such file"):
        read_list(tmp_path / "no.txt")

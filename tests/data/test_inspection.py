"""What an inspection finds in recordings made to have it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Clip, Part
from speech_rnn.data.inspection import Inspection, inspect

RATE = 16_000
SETTINGS = FeatureSettings()


@dataclass
class Made:
    """Recordings in memory."""

    clips: list[Clip]
    rows: NDArray[np.int16]
    lengths: NDArray[np.int32]
    sample_rate: int = RATE
    clip_length: int = RATE
    n_read: int = field(default=0)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        self.n_read += len(indices)
        return self.rows[indices]


def sound(n: int, rms: float = 1_000.0, seed: int = 0) -> NDArray[np.int16]:
    noise = np.random.default_rng(seed).standard_normal((n, RATE)) * rms
    return np.clip(np.rint(noise), -32_768, 32_767).astype(np.int16)


def made(
    words: tuple[str, ...] = ("no", "yes"),
    training: int = 20,
    validation: int = 5,
    speakers: int = 10,
    rms: float = 1_000.0,
) -> Made:
    """Full-band noise, so many clips of each word, speakers apart."""
    counts: dict[Part, int] = {"training": training, "validation": validation}
    clips = [
        Clip(f"{word}/{part}{n}.wav", word, f"{part}{n % speakers}" if speakers else "", part)
        for word in words
        for part, count in counts.items()
        for n in range(count)
    ]
    return Made(clips, sound(len(clips), rms), np.full(len(clips), RATE, np.int32))


def warnings_about(inspection: Inspection, text: str) -> list[str]:
    return [warning for warning in inspection.warnings if text in warning]


def test_good_recordings_are_counted_and_give_no_warning() -> None:
    inspection = inspect(made(), SETTINGS)

    assert inspection.warnings == ()
    assert inspection.suggested_f_max == 7_600.0
    assert inspection.clips == {"training": 40, "validation": 10, "testing": 0}
    assert inspection.n_clips == 50
    assert inspection.speakers == {"training": 10, "validation": 5, "testing": 0}
    assert inspection.n_speakers == 15
    assert inspection.clips_per_speaker == ((2, 5), (4, 10))
    assert [(word.word, word.clips["training"], word.speakers) for word in inspection.words] == [
        ("no", 20, 15),
        ("yes", 20, 15),
    ]
    assert (inspection.shortest_s, inspection.longest_s) == (1.0, 1.0)


def test_the_level_is_that_of_the_sound_without_its_padding() -> None:
    recordings = made(training=2, validation=1)
    recordings.rows[:] = 0
    recordings.rows[:, 4_000:12_000] = sound(6, 3_276.8)[:, :8_000]
    recordings.lengths[:] = 8_000

    inspection = inspect(recordings, SETTINGS)

    assert [edge for edge, count in inspection.level_db.bins() if count] == [-21.0]
    assert inspection.short == 6


@pytest.mark.parametrize(("limited", "suggested"), [(0, 7_600.0), (2, 7_600.0), (4, 4_000.0), (50, 4_000.0)])
def test_f_max_comes_down_where_more_than_a_twentieth_carry_less(limited: int, suggested: float) -> None:
    recordings = made()
    spectrum = np.fft.rfft(recordings.rows[:limited].astype(float))
    spectrum[:, 4_000:] = 0
    recordings.rows[:limited] = np.rint(np.fft.irfft(spectrum, RATE)).astype(np.int16)

    inspection = inspect(recordings, SETTINGS)

    assert inspection.suggested_f_max == pytest.approx(suggested, abs=200)
    assert inspection.suggested_f_max % 100 == 0
    assert len(warnings_about(inspection, "--f-max auto")) == (suggested < 7_600)
    assert len(warnings_about(inspection, f"--f-max {inspection.suggested_f_max:.0f} ")) == (suggested < 7_600)
    at_once = inspection.at(inspection.suggested_f_max)
    assert at_once.f_max == at_once.suggested_f_max == inspection.suggested_f_max
    assert at_once.warnings == ()


def test_a_lower_wanted_f_max_is_left_alone() -> None:
    inspection = inspect(made(), FeatureSettings(f_max=4_000.0))

    assert inspection.suggested_f_max == 4_000.0


def test_few_clips_of_a_word_are_too_few() -> None:
    recordings = made(words=("no", "yes"), training=20)
    recordings.clips[0] = Clip("no/0.wav", "no", "someone", "validation")

    (warning,) = inspect(recordings, SETTINGS).warnings

    assert warning.startswith("fewer than 20 clips for training of 'no' (19): record more")


def test_a_word_that_is_missing_in_a_part_is_named() -> None:
    recordings = made()
    recordings.clips = [
        Clip(clip.name, clip.word, f"no's {clip.speaker}", "training") if clip.word == "no" else clip
        for clip in recordings.clips
    ]

    (warning,) = inspect(recordings, SETTINGS).warnings

    assert warning.startswith("no clip for validation of 'no': record more speakers")


def test_a_part_without_any_clip_is_named_once() -> None:
    inspection = inspect(made(validation=0), SETTINGS)

    assert len(warnings_about(inspection, "no clips for validation")) == 1
    assert len(inspection.warnings) == 1


def test_one_speaker_only_is_a_warning_and_none_known_another() -> None:
    one = made()
    one.clips = [Clip(clip.name, clip.word, "me", clip.part) for clip in one.clips]

    assert warnings_about(inspect(one, SETTINGS), "one speaker")
    (warning,) = inspect(made(speakers=0), SETTINGS).warnings
    assert warning.startswith("no speaker is known")


def test_speakers_that_lists_put_into_two_parts_are_counted_and_a_warning() -> None:
    recordings = made()
    recordings.clips = [
        Clip(clip.name, clip.word, "anna" if n in (0, 21, 24) else clip.speaker, clip.part)
        for n, clip in enumerate(recordings.clips)
    ]

    inspection = inspect(recordings, SETTINGS)

    assert {recordings.clips[n].part for n in (0, 21, 24)} == {"training", "validation"}
    assert inspection.speakers_in_two_parts == 1
    (warning,) = inspection.warnings
    assert warning.startswith(f"1 of {inspection.n_speakers} speakers are in more than one part by the lists")


def test_clipped_and_silent_and_long_clips_are_counted_and_named() -> None:
    recordings = made()
    recordings.rows[:10] = sound(10, 60_000.0)
    recordings.rows[10:13] = sound(3, 3.0)
    recordings.rows[13] = 0
    recordings.lengths[20:26] = 40_000

    inspection = inspect(recordings, SETTINGS)

    assert (inspection.clipped, inspection.silent, inspection.long, inspection.longest_s) == (10, 4, 6, 2.5)
    assert len(warnings_about(inspection, "20 % of the clips are clipped: record softer")) == 1
    assert len(warnings_about(inspection, "4 clips are softer than -60 dB")) == 1
    assert len(warnings_about(inspection, "12 % of the clips are longer than 1 s (up to 2.5 s)")) == 1
    assert len(inspection.warnings) == 3


def test_the_same_sound_under_two_names_is_found() -> None:
    recordings = made()
    recordings.rows[3] = recordings.rows[40] = recordings.rows[7]
    recordings.rows[20] = recordings.rows[11]
    recordings.rows[30] = recordings.rows[5]

    inspection = inspect(recordings, SETTINGS)

    assert {double.names for double in inspection.doubles} == {
        ("no/training3.wav", "no/training7.wav", "yes/training15.wav"),
        ("no/training11.wav", "no/validation0.wav"),
        ("no/training5.wav", "yes/training5.wav"),
    }
    (warning,) = inspection.warnings
    assert warning.startswith("3 clips are there under more than one name, 1 of them in two parts, 2 of them under two")


def test_equal_energy_alone_is_no_double_nor_is_silence() -> None:
    recordings = made()
    recordings.rows[1] = recordings.rows[0][::-1]
    recordings.rows[2:4] = 0

    assert inspect(recordings, SETTINGS).doubles == ()


def test_only_a_sample_is_measured_for_bandwidth() -> None:
    clips = [Clip(f"a/{n}.wav", "a", f"{n}", "training") for n in range(2_600)]
    recordings = Made(clips, np.repeat(sound(1)[:, :1_600], 2_600, axis=0), np.full(2_600, 1_600, np.int32))
    recordings.rows[:, 0] = np.arange(2_600)
    recordings.clip_length = 1_600

    inspection = inspect(recordings, SETTINGS)

    assert inspection.bandwidth_hz.n == 2_000
    assert recordings.n_read < 2_600 + 2_000 + 100


def test_nothing_but_silence_is_no_crash() -> None:
    recordings = made()
    recordings.rows[:] = 0

    inspection = inspect(recordings, SETTINGS)

    assert inspection.silent == 50
    assert inspection.suggested_f_max == 7_600.0
    assert inspection.bandwidth_hz.n == 0


def test_json_there_and_back_is_the_same_and_holds_the_warnings() -> None:
    inspection = inspect(made(speakers=0), SETTINGS)

    text = inspection.to_json()

    assert Inspection.model_validate_json(text) == inspection
    assert json.loads(text)["warnings"] == list(inspection.warnings)
    assert json.loads(text)["suggested_f_max"] == 7_600.0


def test_names_from_outside_are_quoted() -> None:
    recordings = made(words=("no\n[bold]", "yes"), training=3)

    inspection = inspect(recordings, SETTINGS)

    assert all("\n" not in warning for warning in inspection.warnings)
    assert warnings_about(inspection, r"'no\n[bold]'")


def test_other_rates_and_clip_lengths_work() -> None:
    part: Part = "training"
    clips = [Clip(f"a/{n}.wav", "a", f"{n}", part) for n in range(30)]
    rows = sound(30)[:, :4_000]
    recordings = Made(clips, rows, np.full(30, 4_000, np.int32), sample_rate=8_000, clip_length=4_000)

    inspection = inspect(
        recordings, FeatureSettings(sample_rate=8_000, clip_length=4_000, n_fft=256, win_length=240, f_max=3_800.0)
    )

    assert inspection.suggested_f_max == 3_800.0
    assert inspection.longest_s == 0.5

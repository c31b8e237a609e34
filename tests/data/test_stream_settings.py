from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.data.stream_settings import StreamSettings
from speech_rnn.errors import SettingsError


@given(length_s=st.floats(10.0, 3_600.0), scene_s=st.floats(10.0, 600.0))
def test_a_stream_is_as_many_whole_scenes_as_its_length_needs(length_s: float, scene_s: float) -> None:
    settings = StreamSettings(length_s=length_s, scene_s=scene_s)

    assert settings.seconds == settings.scenes * scene_s
    assert settings.seconds >= length_s * (1 - 1e-9)
    assert settings.scenes == 1 or (settings.scenes - 1) * scene_s < length_s


def test_the_usual_stream_is_ten_minutes_of_twenty_scenes() -> None:
    assert (StreamSettings().seconds, StreamSettings().scenes) == (600.0, 20)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"snr_low_db": 20.0, "snr_high_db": 10.0}, "snr_low_db=20.0 must be at most snr_high_db=10.0"),
        ({"talk_gap_low_s": 5.0}, "talk_gap_low_s=5.0 must be at most"),
        ({"talk_share": 0.7, "noise_share": 0.6}, "at most 1 together"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        StreamSettings(**values)

from __future__ import annotations

import numpy as np
import pytest

from speech_rnn.audio import dbfs
from speech_rnn.card import Agreement
from speech_rnn.config import FeatureSettings
from speech_rnn.errors import ModelError
from speech_rnn.export.probes import check, make_probes

BOUNDS = {"speech": 1e-4, "noise": 1e-4, "silence": 1e-4, "chirp": 1e-2}
SETTINGS = [
    FeatureSettings(),
    FeatureSettings(
        sample_rate=8_000, clip_length=4_000, n_fft=256, win_length=200, n_mels=20, n_mfcc=13, f_max=3_800.0
    ),
    FeatureSettings(sample_rate=48_000, clip_length=96_000, n_fft=2_048, win_length=1_200, hop_length=480),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_probes_are_clips_the_same_every_time(settings: FeatureSettings) -> None:
    probes = make_probes(settings)

    assert set(probes) == set(BOUNDS)
    for name, again in make_probes(settings).items():
        assert probes[name].dtype == np.float32
        assert probes[name].shape == (settings.clip_length,)
        assert np.abs(probes[name]).max() <= 1.0
        np.testing.assert_array_equal(probes[name], again)


def test_probes_are_what_their_names_say() -> None:
    probes = make_probes(FeatureSettings())

    spectra = {name: np.abs(np.fft.rfft(probe)) ** 2 for name, probe in probes.items()}
    assert not probes["silence"].any()
    assert dbfs(probes["noise"]) == pytest.approx(-26.0, abs=0.2)
    # A chirp and white noise have the same power in each kHz, speech has most below 4 kHz.
    for name in ("noise", "chirp"):
        bands = spectra[name][:-1].reshape(8, 1_000).sum(axis=1)
        assert bands.max() / bands.min() < 1.3
    assert dbfs(probes["speech"]) > -40.0
    assert spectra["speech"][:4_000].sum() > 0.8 * spectra["speech"].sum()


def check_answers(difference: float | None) -> dict[str, Agreement]:
    """What becomes of a file whose second score is off on the noise and on nothing else."""
    probes = make_probes(FeatureSettings())
    expected = np.array([[0.25, 0.75]] * len(probes), np.float32)
    answers = expected.copy()
    answers[list(probes).index("noise"), 1] += np.nan if difference is None else difference
    return check("clip.tflite", lambda clips: answers[: len(clips)], probes, expected)


def test_the_largest_difference_of_a_score_is_what_counts() -> None:
    agreements = check_answers(2.0**-14)

    assert {name: one.error for name, one in agreements.items()} == {**dict.fromkeys(BOUNDS, 0.0), "noise": 2.0**-14}
    assert {name: one.bound for name, one in agreements.items()} == BOUNDS


@pytest.mark.parametrize("difference", [2e-4, -2e-4, None])
def test_scores_beyond_the_bound_or_not_numbers_are_not_shipped(difference: float | None) -> None:
    with pytest.raises(ModelError, match=r"clip\.tflite is not shipped: on the probe 'noise' a score is .* off Keras"):
        check_answers(difference)

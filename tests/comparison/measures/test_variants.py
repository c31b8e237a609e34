from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.comparison.measures.variants import RECORDED, VARIANTS, Variant, VariantRows, drawn
from speech_rnn.data.clips import UNKNOWN
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.store import Store
from speech_rnn.data.task import Items
from speech_rnn.preparation import prepare
from speech_rnn.scoring import judged_clips
from tests.tones import LENGTH, RATE, small_settings, write_tones

SETTINGS = small_settings()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("recordings")
    return prepare([str(write_tones(folder / "tones"))], SETTINGS, folder / "cache").store


@pytest.fixture(scope="module")
def spoken(store: Store) -> Items:
    items = judged_clips(("_silence_", UNKNOWN, "low", "high"), SETTINGS, store, "validation").items
    return items[np.flatnonzero(items.clip >= 0)]


def heard(store: Store, items: Items, variant: Variant) -> NDArray[np.float64]:
    rows = VariantRows(store, items, "validation", variant)
    assert len(rows) == len(items)
    return rows.read(np.arange(len(items))).astype(np.float64)


def spoken_level_db(clip: NDArray[np.float64]) -> float:
    """Of the fiftieths of a clip that are within 20 dB of the loudest."""
    powers = np.array([np.mean(block**2) for block in np.split(clip, 50)])
    return float(10 * np.log10(np.mean(powers[powers >= powers.max() / 100])))


def test_a_variant_is_named_by_what_is_done_and_how_much() -> None:
    assert [variant.key for variant in VARIANTS[:6]] == ["recorded:0", "snr:20", "snr:10", "snr:5", "snr:0", "snr:-5"]
    assert [variant.key for variant in VARIANTS[6:]] == [
        *("speed:0.7", "speed:0.85", "speed:1.15", "speed:1.3"),
        *("level:-40", "level:-30", "level:-20", "level:-10", "level:10"),
    ]


def test_as_recorded_they_are_the_clips_of_the_store(store: Store, spoken: Items) -> None:
    np.testing.assert_array_equal(heard(store, spoken, RECORDED), store.read(spoken.clip))


@pytest.mark.parametrize("snr_db", [20.0, 0.0, -5.0])
def test_the_noise_lies_under_what_is_spoken_by_the_decibels_that_its_name_says(
    store: Store, spoken: Items, snr_db: float
) -> None:
    clips = heard(store, spoken, RECORDED)

    noisy = heard(store, spoken, Variant("snr", snr_db))

    unclipped = np.abs(noisy).max(axis=1) < 32_767
    assert unclipped.mean() > 0.4
    for clip, mixed in zip(clips[unclipped], noisy[unclipped], strict=True):
        noise_db = 10 * np.log10(np.mean((mixed - clip) ** 2))
        assert spoken_level_db(clip) - noise_db == pytest.approx(snr_db, abs=0.05)


def test_the_noise_is_the_same_at_each_level_and_of_the_part_alone(store: Store, spoken: Items) -> None:
    clips = heard(store, spoken, RECORDED)

    loud, soft = (heard(store, spoken, Variant("snr", db)) - clips for db in (5.0, 10.0))

    # A noise of white numbers is nowhere like itself: its place in the recording is found by its likeness.
    recorded, _ = NoiseBank(store.noise, RATE).shares("validation")
    for row_loud, row_soft in zip(loud, soft, strict=True):
        likeness = np.correlate(recorded[0].astype(np.float64), row_soft, "valid")
        assert likeness.max() > 0.9 * np.linalg.norm(row_soft) * 0.1 * 32_768 * LENGTH**0.5
        if np.abs(row_loud).max() < 20_000:
            assert np.corrcoef(row_loud, row_soft)[0, 1] > 0.99


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.15, 1.3])
def test_a_tone_played_faster_is_higher_by_the_factor(store: Store, spoken: Items, factor: float) -> None:
    def pitch(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        padded = np.abs(np.fft.rfft(rows * np.hanning(rows.shape[1]), 16 * rows.shape[1]))
        return np.asarray(padded.argmax(axis=1) / (16 * rows.shape[1]) * RATE)

    low = spoken[np.flatnonzero(pitch(heard(store, spoken, RECORDED)) < 2_000)]

    ratio = pitch(heard(store, low, Variant("speed", factor))) / pitch(heard(store, low, RECORDED))

    assert len(low) > 5
    np.testing.assert_allclose(ratio, factor, rtol=0.02)


@pytest.mark.parametrize("level_db", [-40.0, -10.0, 10.0])
def test_a_level_is_a_gain_in_steps_of_16_bits_clipped_at_full_scale(
    store: Store, spoken: Items, level_db: float
) -> None:
    wanted = heard(store, spoken, RECORDED) * 10 ** (level_db / 20)

    found = heard(store, spoken, Variant("level", level_db))

    assert np.abs(found - np.clip(wanted, -32_768, 32_767)).max() <= 0.51
    assert (np.abs(wanted).max() > 32_768) == (level_db > 0)


def test_rows_are_the_same_in_any_company_and_in_another_process(store: Store, spoken: Items) -> None:
    for variant in VARIANTS:
        rows = VariantRows(store, spoken, "validation", variant)
        other: VariantRows = pickle.loads(pickle.dumps(rows))

        np.testing.assert_array_equal(other.read(np.array([3, 0])), rows.read(np.arange(4))[[3, 0]])
        assert other.digest == rows.digest


def test_other_clips_and_other_variants_have_other_digests(store: Store, spoken: Items) -> None:
    digests = {VariantRows(store, spoken, "validation", variant).digest for variant in VARIANTS}
    digests.add(VariantRows(store, spoken[1:], "validation", RECORDED).digest)
    digests.add(VariantRows(store, spoken, "testing", RECORDED).digest)

    assert len(digests) == len(VARIANTS) + 2


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 150))
def test_a_draw_has_each_label_in_its_proportion_and_no_clip_twice(counts: list[int], most: int) -> None:
    label = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    items = Items(np.arange(len(label)), label, np.arange(len(label)))

    some = drawn(items, most, "a test")

    assert len(some) == min(most, len(items))
    assert (np.diff(some.clip) > 0).all()
    np.testing.assert_array_equal(some.label, label[some.clip])
    for number, count in enumerate(counts):
        assert abs((some.label == number).sum() - count * len(some) / max(len(items), 1)) <= 1


def test_another_purpose_draws_other_clips() -> None:
    items = Items(np.arange(500), np.zeros(500, np.int64), np.arange(500))

    one, again, other = (drawn(items, 50, purpose).clip.tolist() for purpose in ("one", "one", "other"))

    assert one == again
    assert one != other

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_rnn.errors import DataError
from speech_rnn.preparation import prepare
from tests.tones import FEATURES, RATE, speakers, tone_settings, write_tones


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones")


def write_noises(folder: Path, up_to_hz: float) -> Path:
    """Words that are noise, with nothing above a frequency."""
    rng = np.random.default_rng(0)
    for word in ("low", "high"):
        (folder / word).mkdir(parents=True)
        for speaker in speakers("training"):
            spectrum = np.fft.rfft(rng.normal(0, 0.1, 2_000))
            spectrum[int(2_000 * up_to_hz / RATE) :] = 0
            soundfile.write(folder / word / f"{speaker}_nohash_0.wav", np.fft.irfft(spectrum), RATE)
    return folder


def test_sources_are_opened_decoded_and_looked_at(tones: Path, tmp_path: Path) -> None:
    prepared = prepare([str(tones)], tone_settings(), tmp_path)

    assert [source.title for source in prepared.sources] == [str(tones)]
    assert prepared.store.clips == list(prepared.sources[0].clips)
    assert prepared.inspection.n_clips == len(prepared.store)
    assert prepared.settings == tone_settings()


def test_a_name_means_the_same_from_everywhere(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tones.parent)

    prepared = prepare(["tones"], tone_settings(), tmp_path)

    assert prepared.names == [str(tones)]


def test_the_recordings_choose_f_max_where_they_are_asked_to(tmp_path: Path) -> None:
    narrow = str(write_noises(tmp_path / "narrow", 2_000.0))

    chosen = prepare([narrow], tone_settings(), tmp_path, auto_f_max=True)
    kept = prepare([narrow], tone_settings(), tmp_path)

    assert kept.settings.features.f_max == FEATURES.f_max
    assert any("f-max" in warning for warning in kept.inspection.warnings)
    assert 1_800 <= chosen.settings.features.f_max <= 2_500
    assert not any("f-max" in warning for warning in chosen.inspection.warnings)
    assert chosen.settings == kept.settings.changed(features=chosen.settings.features)
    assert chosen.store.digest == kept.store.digest


def test_what_the_recordings_carry_is_not_asked_for_more(tmp_path: Path) -> None:
    wide = str(write_noises(tmp_path / "wide", 4_000.0))

    prepared = prepare([wide], tone_settings(), tmp_path, auto_f_max=True)

    assert prepared.settings == tone_settings()


@pytest.mark.parametrize("names", [["tones", "tones"], ["tones", "./tones"], ["corpus", "tones", "corpus"]])
def test_a_source_named_twice_is_refused(
    names: list[str], tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tones.parent)

    with pytest.raises(DataError, match=r"a source is named twice among .*; name each once"):
        prepare(names, tone_settings(), tmp_path)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'/no/where' is not a source of recordings; give a folder, 'corpus' or 'tfds'"):
        prepare(["/no/where"], tone_settings(), tmp_path)

from __future__ import annotations

import pytest

from speech_rnn.card import Card
from speech_rnn.config import RunSettings
from speech_rnn.errors import SettingsError
from speech_rnn.models import count_parameters
from speech_rnn.presets import SIZES, Size, preset
from speech_rnn.runtime import shipped_models

LIMITS = {"micro": 32_000, "small": 80_000, "large": 500_000}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_size_leaves_room_for_what_a_file_holds_beside_its_weights(size: Size, cell: str) -> None:
    chosen = preset(size, cell)
    settings = RunSettings()
    model = settings.model.changed(cell=cell, **chosen.settings["model"])

    parameters = count_parameters(model, settings.features.n_mfcc, n_labels=12)

    assert 0.5 * LIMITS[size] < parameters < 0.95 * LIMITS[size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_shipped_model_is_of_its_preset_and_fills_its_size(size: Size, cell: str) -> None:
    card = Card.read(shipped_models()[f"{cell}-12-{size}"] / "card.json")

    model = {name: getattr(card.model, name) for name in preset(size, cell).settings["model"]}
    assert model == preset(size, cell).settings["model"]
    for name, entry in card.files.items():
        if name.startswith("mcu/") and name.endswith(".tflite"):
            assert 0.9 * LIMITS[size] < entry.bytes <= LIMITS[size], name


def test_all_shipped_models_take_at_most_twelve_megabytes() -> None:
    folders = shipped_models().values()

    assert len(folders) >= 7
    assert sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()) <= 12_000_000


@pytest.mark.parametrize("size", SIZES)
def test_its_settings_are_settings(size: Size) -> None:
    settings = RunSettings()

    for part, fields in preset(size, "gru").settings.items():
        changed = getattr(settings, part).changed(**fields)
        assert changed != getattr(settings, part)


def test_a_cell_without_a_recipe_is_told() -> None:
    with pytest.raises(SettingsError, match="--preset small knows gru, lstm, rnn and not 'mgu'; give --units instead"):
        preset("small", "mgu")

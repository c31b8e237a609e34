from __future__ import annotations

import pytest

from speech_rnn.config import RunSettings
from speech_rnn.errors import SettingsError
from speech_rnn.models import count_parameters
from speech_rnn.presets import SIZES, Size, preset

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
def test_its_settings_are_settings(size: Size) -> None:
    settings = RunSettings()

    for part, fields in preset(size, "gru").settings.items():
        changed = getattr(settings, part).changed(**fields)
        assert changed != getattr(settings, part)


def test_a_cell_without_a_recipe_is_told() -> None:
    with pytest.raises(SettingsError, match="--preset small knows gru, lstm, rnn and not 'mgu'; give --units instead"):
        preset("small", "mgu")

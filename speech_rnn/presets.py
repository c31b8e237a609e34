"""The recipes of the shipped models: sizes that fit a device, and how long each is trained."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from speech_rnn.errors import SettingsError

Size = Literal["micro", "small", "large"]
SIZES: tuple[Size, ...] = get_args(Size)


USUAL_CLIPS_HEARD = 2_000_000  # in a whole run without a preset, whatever the number of clips


class Preset(NamedTuple):
    """What a recipe decides.

    Attributes:
        units: of each of the two recurrent layers.
        clips_heard: in the whole training; epochs follow from the number of clips.
        settings: part -> field -> value, of :class:`speech_rnn.config.RunSettings`.
    """

    units: int
    clips_heard: int
    settings: dict[str, dict[str, Any]]


# A board's step (mcu/step_int8.tflite) of 12 labels takes at most 32, 80 and 500 kB.
_UNITS: dict[Size, dict[str, int]] = {
    "micro": {"gru": 32, "lstm": 27, "rnn": 62},
    "small": {"gru": 68, "lstm": 60, "rnn": 126},
    "large": {"gru": 212, "lstm": 184, "rnn": 380},
}
# Small networks have nothing to spare.
_DROPOUT: dict[Size, float] = {"micro": 0.0, "small": 0.0, "large": 0.1}
_CLIPS_HEARD = 5_800_000
# Bent less than usual: as good under other conditions, and better as recorded (docs/recipe.md).
_BENDING = {
    "shift_ms": 120.0,
    "tempo_range": 0.08,
    "pitch_range": 0.05,
    "neighbour_probability": 0.06,
    "snr_low_db": -6.0,
    "snr_high_db": 25.0,
    "time_masks": 1,
    "time_mask_frames": 12,
    "frequency_masks": 1,
    "frequency_mask_mels": 4,
}


def preset(size: Size, cell: str) -> Preset:
    """A recipe.

    Args:
        size: ``micro``, ``small`` or ``large``.
        cell: ``gru``, ``lstm`` or ``rnn``.

    Raises:
        SettingsError: there is none for that cell.
    """
    units = _UNITS[size].get(cell)
    if units is None:
        raise SettingsError(f"--preset {size} knows {', '.join(_UNITS[size])} and not {cell!r}; give --units instead")
    model = {"units": units, "layers": 2, "stack": 2, "dropout": _DROPOUT[size]}
    training = {"teacher_weight": 0.9}
    return Preset(units, _CLIPS_HEARD, {"model": model, "augmentation": dict(_BENDING), "training": training})

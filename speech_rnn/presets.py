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
    "micro": {"gru": 32, "lstm": 26, "rnn": 64},
    "small": {"gru": 62, "lstm": 52, "rnn": 120},
    "large": {"gru": 208, "lstm": 170, "rnn": 370},
}
_CLIPS_HEARD = 1_660_000


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
    return Preset(units, _CLIPS_HEARD, {"model": {"units": units, "layers": 2}})

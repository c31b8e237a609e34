"""The base of all settings: values that are checked when made and travel through JSON unchanged.

Pydantic does the checking; what it finds is said in one line with value, rule and remedy.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from speech_rnn.errors import SettingsError

_LONGEST_SHOWN = 80
_LONGEST_LIST = 240

# Pydantic's kinds of findings in the words of this house.
_BOUNDS = {
    "greater_than_equal": ("must be at least", "ge"),
    "greater_than": ("must be above", "gt"),
    "less_than_equal": ("must be at most", "le"),
    "less_than": ("must be below", "lt"),
    "string_too_long": ("must not be longer than", "max_length"),
}
_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a dictionary",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "model_type": "must be settings or a dictionary of them",
    "string_too_short": "must not be empty",
    "string_type": "must be a text",
}


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, no coercion, no NaN.

    A subclass says in ``UNITS`` what its numbers count, in ``RULES`` what pydantic can't say well, and in ``REMEDIES``
    what to do where "the default is usual" isn't the best advice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    UNITS: ClassVar[dict[str, str]] = {}
    RULES: ClassVar[dict[str, str]] = {}
    REMEDIES: ClassVar[dict[str, str]] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _settings_error(error, type(self), values) from None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read settings from JSON.

        Raises:
            SettingsError: no JSON object, a key that is unknown or stands twice, or a value that isn't allowed.
        """
        try:
            values = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"these settings are not JSON ({_one_line(str(error))}); mend the text") from None
        if not isinstance(values, dict):
            raise SettingsError(
                f"{shown(values)} must be a JSON object with the settings of {cls.__name__}; {{}} is one"
            )
        return cls(**values)

    def to_json(self) -> str:
        """The settings as indented JSON; ``from_json`` of it is equal to ``self``."""
        return self.model_dump_json(indent=2)

    def changed(self, **values: Any) -> Self:
        """A checked copy with some values replaced."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **values})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As :meth:`changed`; pydantic's own doesn't check. Frozen values are never copied deeply."""
        del deep
        return self.changed(**(update or {}))


def _settings_error(error: ValidationError, settings: type[Settings], values: Mapping[str, Any]) -> SettingsError:
    """The first finding of pydantic as one line: value, rule, remedy."""
    findings = error.errors(include_url=False)
    # What a user mistyped is said first: the rest often follows from it.
    finding = next((found for found in findings if found["type"] == "extra_forbidden"), findings[0])
    kind, context = finding["type"], finding.get("ctx", {})
    if kind == "value_error" and not finding["loc"]:
        return SettingsError(str(context["error"]))
    name = str(finding["loc"][0])
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(name, settings.model_fields, n=1)
        there_are = textwrap.shorten(", ".join(settings.model_fields), _LONGEST_LIST, placeholder=" …")
        remedy = f"did you mean {close[0]}?" if close else f"there are {there_are}"
        return SettingsError(f"{shown(name)} is not a setting of {settings.__name__}; {remedy}")
    if kind == "missing":
        return SettingsError(f"{name} is missing from {settings.__name__}; give it a value")
    rule = settings.RULES.get(name) or _rule(kind, context, settings.UNITS.get(name, ""))
    rule = rule or finding["msg"].replace("Input should be", "must be")
    default = settings.model_fields[name].default
    usual = f"{default!r} is usual" if isinstance(default, (int, float, str)) else "leave it out for the usual"
    return SettingsError(f"{name}={shown(values[name])} {_one_line(rule)}; {settings.REMEDIES.get(name, usual)}")


def _rule(kind: str, context: Mapping[str, Any], unit: str) -> str | None:
    """A finding of pydantic in the words of this house; ``None`` for a kind it has no words for."""
    if kind not in _BOUNDS:
        return _RULES.get(kind)
    words, key = _BOUNDS[kind]
    bound = context[key]
    if isinstance(bound, float) and bound.is_integer():
        bound = int(bound)
    return f"{words} {bound} {unit.removesuffix('s') if bound == 1 else unit}".rstrip()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} stands twice")
    return values


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def shown(value: object) -> str:
    """A value from anywhere, short and on one line, for a message."""
    return _one_line(repr(value))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"

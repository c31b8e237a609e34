"""Settings: values that are checked when made and travel through JSON unchanged.

Whatever follows from a setting (frames, seconds, shapes) is a property, never a second setting. Pydantic does
the checking; what it finds is said in one line with value, rule and remedy.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from speech_rnn.errors import SettingsError

CommonLabels = Literal["12", "35", "all"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
# JSON knows no tuples. Not a set: labels have an order.
Words = Annotated[tuple[str, ...], BeforeValidator(lambda words: tuple(words) if isinstance(words, list) else words)]

_LONGEST_SHOWN = 80

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
                f"{_shown(values)} must be a JSON object with the settings of {cls.__name__}; {{}} is one"
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
        remedy = f"did you mean {close[0]}?" if close else f"there are {', '.join(settings.model_fields)}"
        return SettingsError(f"{_shown(name)} is not a setting of {settings.__name__}; {remedy}")
    if kind == "missing":
        return SettingsError(f"{name} is missing from {settings.__name__}; give it a value")
    rule = settings.RULES.get(name) or _rule(kind, context, settings.UNITS.get(name, ""))
    rule = rule or finding["msg"].replace("Input should be", "must be")
    default = settings.model_fields[name].default
    usual = f"{default!r} is usual" if isinstance(default, (int, float, str)) else "leave it out for the usual"
    return SettingsError(f"{name}={_shown(values[name])} {_one_line(rule)}; {settings.REMEDIES.get(name, usual)}")


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
        raise ValueError(f"{_shown(twice)} stands twice")
    return values


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _shown(value: object) -> str:
    """A value from anywhere, short and on one line."""
    return _one_line(repr(value))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"


def is_label(word: str) -> bool:
    """Whether a word can be a label and a folder's name: 1 to 64 printable characters, no ``/``, no ``_`` in front."""
    return (
        word.isprintable() and word == word.strip() and 1 <= len(word) <= 64 and word[0] not in "_." and "/" not in word
    )


def _mel(frequency_hz: float) -> float:
    """Slaney's mel scale, librosa's own: linear to 1,000 Hz, logarithmic above (Auditory Toolbox, 1998)."""
    if frequency_hz < 1_000.0:
        return frequency_hz * 3 / 200
    return 15.0 + 27.0 * math.log(frequency_hz / 1_000.0) / math.log(6.4)


def _hz(mel: float) -> float:
    """The frequency of :func:`_mel`."""
    return mel * 200 / 3 if mel < 15.0 else 1_000.0 * math.exp((mel - 15.0) / 27.0 * math.log(6.4))


class FeatureSettings(Settings):
    """The front end: samples -> MFCC. Lengths are in samples, frequencies in Hz.

    The window of ``win_length`` samples (periodic Hann) lies in the middle of the ``n_fft`` samples of a frame, as
    librosa has it; there is no padding, so a clip gives ``1 + (clip_length - n_fft) // hop_length`` frames.
    ``power_floor`` stands under the logarithm: with 1e-8 digital silence and the rounding noise of 16-bit audio
    sound alike.
    """

    UNITS: ClassVar[dict[str, str]] = {
        "sample_rate": "Hz",
        "clip_length": "samples",
        "n_fft": "samples",
        "win_length": "samples",
        "hop_length": "samples",
        "f_min": "Hz",
        "f_max": "Hz",
    }
    REMEDIES: ClassVar[dict[str, str]] = {
        "n_fft": "512 is usual at 16,000 Hz",
        "f_max": "7600.0 is usual for full-band sound, 4000.0 for telephone sound",
        "sample_rate": "16000 is usual",
    }

    sample_rate: int = Field(default=16_000, ge=4_000, le=96_000)
    clip_length: int = Field(default=16_000, ge=256, le=960_000)
    n_fft: int = Field(default=512, ge=32, le=8_192)
    win_length: int = Field(default=480, ge=16, le=8_192)
    hop_length: int = Field(default=160, ge=1, le=8_192)
    n_mels: int = Field(default=40, ge=4, le=128)
    n_mfcc: int = Field(default=40, ge=1, le=128)
    f_min: float = Field(default=20.0, ge=0.0)
    f_max: float = Field(default=7_600.0, gt=0.0)
    power_floor: float = Field(default=1e-8, ge=1e-10, le=1e-2)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n_fft & (self.n_fft - 1):
            raise ValueError(f"n_fft={self.n_fft} must be a power of two (TFLite's FFT knows no other); 512 is usual")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length={self.win_length} must be at most n_fft={self.n_fft}; 480 of 512 is usual")
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length={self.hop_length} must be at most n_fft={self.n_fft}, or samples are lost; 160 is usual"
            )
        if self.clip_length < self.n_fft:
            raise ValueError(f"clip_length={self.clip_length} must be at least n_fft={self.n_fft}; one second is usual")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc={self.n_mfcc} must be at most n_mels={self.n_mels}; take fewer coefficients")
        if self.f_max > self.sample_rate / 2:
            raise ValueError(
                f"f_max={self.f_max} must be at most half the sample rate ({self.sample_rate / 2}); "
                f"{0.475 * self.sample_rate} is usual"
            )
        if self.f_min >= self.f_max:
            raise ValueError(f"f_min={self.f_min} must be below f_max={self.f_max}; 20.0 is usual")
        empty = self._empty_band()
        if empty is not None:
            raise ValueError(
                f"n_mels={self.n_mels} bands from {self.f_min} to {self.f_max} Hz leave band {empty} without a bin of "
                f"n_fft={self.n_fft} at {self.sample_rate} Hz; take fewer bands or a longer n_fft"
            )
        return self

    def _empty_band(self) -> int | None:
        """The first mel band whose triangle holds no bin of the FFT: its output would be the floor for any sound."""
        low, high = _mel(self.f_min), _mel(self.f_max)
        edges = [_hz(low + (high - low) * band / (self.n_mels + 1)) for band in range(self.n_mels + 2)]
        bin_hz = self.sample_rate / self.n_fft
        for band in range(self.n_mels):
            # The margin keeps a bin that lies on an edge out, whichever way that is rounded.
            above_left = (math.floor(edges[band] / bin_hz + 1e-6) + 1) * bin_hz
            if above_left > edges[band + 2] - 1e-6 * bin_hz:
                return band
        return None

    @property
    def n_frames(self) -> int:
        """Frames of a clip."""
        return 1 + (self.clip_length - self.n_fft) // self.hop_length

    @property
    def clip_s(self) -> float:
        """Length of a clip in seconds."""
        return self.clip_length / self.sample_rate

    @property
    def hop_s(self) -> float:
        """Time from frame to frame in seconds."""
        return self.hop_length / self.sample_rate


class ModelSettings(Settings):
    """The classifier: normalization, frame stacking, recurrent layers, label logits."""

    UNITS: ClassVar[dict[str, str]] = {"cell": "characters", "stack": "frames"}
    REMEDIES: ClassVar[dict[str, str]] = {"cell": "'lstm', 'gru' and 'rnn' are built in"}

    cell: str = Field(default="gru", min_length=1, max_length=64)
    units: int = Field(default=160, ge=1, le=4_096)
    layers: int = Field(default=2, ge=1, le=8)
    stack: int = Field(default=3, ge=1, le=32)
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"


class AugmentationSettings(Settings):
    """How training clips are bent; a probability of 0 switches a kind off. On the waveform unless it says masks."""

    UNITS: ClassVar[dict[str, str]] = {
        "shift_ms": "ms",
        "gain_low_db": "dB",
        "gain_high_db": "dB",
        "snr_low_db": "dB",
        "snr_high_db": "dB",
        "time_mask_frames": "frames",
        "frequency_mask_mels": "bands",
    }

    shift_ms: float = Field(default=100.0, ge=0.0, le=1_000.0)
    speed_probability: Probability = 0.5
    speed_range: float = Field(default=0.12, ge=0.0, lt=0.5)
    gain_probability: Probability = 0.8
    gain_low_db: float = Field(default=-10.0, ge=-60.0, le=0.0)
    gain_high_db: float = Field(default=6.0, ge=0.0, le=40.0)
    noise_probability: Probability = 0.6
    snr_low_db: float = Field(default=0.0, ge=-30.0, le=60.0)
    snr_high_db: float = Field(default=30.0, ge=-30.0, le=60.0)
    room_probability: Probability = 0.1
    splice_probability: Probability = 0.1
    time_masks: int = Field(default=2, ge=0, le=10)
    time_mask_frames: int = Field(default=20, ge=0, le=1_000)
    frequency_masks: int = Field(default=2, ge=0, le=10)
    frequency_mask_mels: int = Field(default=6, ge=0, le=128)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(
                f"snr_low_db={self.snr_low_db} must be at most snr_high_db={self.snr_high_db}; 0.0 to 30.0 is usual"
            )
        return self

    @classmethod
    def off(cls) -> Self:
        """No augmentation of any kind."""
        return cls(
            shift_ms=0.0,
            speed_probability=0.0,
            gain_probability=0.0,
            noise_probability=0.0,
            room_probability=0.0,
            splice_probability=0.0,
            time_masks=0,
            frequency_masks=0,
        )


class TaskSettings(Settings):
    """What is to be told apart.

    ``labels`` is ``"12"`` (the ten commands, unknown, silence), ``"35"`` (all words of Speech Commands V2), ``"all"``
    (every folder is a label) or a tuple of words. ``unknown_share`` and ``silence_share`` are relative to the number
    of clips of the wanted words, as in the official recipe; 0 leaves that label out, ``None`` takes the usual: 0.1
    for ``"12"`` and own lists, 0 for ``"35"`` and ``"all"``. Training draws unknown words ``unknown_times`` as often:
    they are many words under one label. Silence is background noise at an RMS level between ``silence_low_db`` and
    ``silence_high_db``.
    """

    UNITS: ClassVar[dict[str, str]] = {"silence_low_db": "dBFS", "silence_high_db": "dBFS"}
    RULES: ClassVar[dict[str, str]] = {"labels": "must be '12', '35', 'all' or a list of words"}
    REMEDIES: ClassVar[dict[str, str]] = {
        "labels": "('yes', 'no') is an example",
        "unknown_share": "0.1 is usual",
        "silence_share": "0.1 is usual",
    }

    labels: CommonLabels | Words = "12"
    unknown_share: float | None = Field(default=None, ge=0.0, le=10.0)
    silence_share: float | None = Field(default=None, ge=0.0, le=10.0)
    unknown_times: float = Field(default=3.0, ge=0.0, le=100.0)
    silence_low_db: float = Field(default=-90.0, ge=-120.0, le=0.0)
    silence_high_db: float = Field(default=-8.0, ge=-120.0, le=0.0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.silence_low_db > self.silence_high_db:
            raise ValueError(
                f"silence_low_db={self.silence_low_db} must be at most silence_high_db={self.silence_high_db}; "
                "-90.0 to -8.0 dBFS is usual"
            )
        if isinstance(self.labels, tuple):
            if len(self.labels) < 1 or len(set(self.labels)) < len(self.labels):
                raise ValueError(
                    f"labels={_shown(self.labels)} must be one or more different words; ('yes', 'no') is an example"
                )
            for word in self.labels:
                if not is_label(word):
                    raise ValueError(
                        f"label {_shown(word)} must be 1 to 64 printable characters, without '/', without blanks at "
                        "its ends and without '_' or '.' in front; rename it"
                    )
        return self


class TrainingSettings(Settings):
    """The loop: AdamW, linear warm-up, cosine decay to zero, label smoothing, clipped gradients."""

    epochs: int = Field(default=40, ge=1, le=100_000)
    batch_size: int = Field(default=128, ge=1, le=65_536)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    warmup_share: float = Field(default=0.05, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=1e-3, ge=0.0, le=1.0)
    clip_norm: float = Field(default=1.0, gt=0.0)
    label_smoothing: float = Field(default=0.05, ge=0.0, lt=1.0)
    seed: int = Field(default=1, ge=0, lt=2**32)


class RunSettings(Settings):
    """Everything that decides what a training run ends with, besides the recordings themselves."""

    features: FeatureSettings = Field(default_factory=FeatureSettings)
    task: TaskSettings = Field(default_factory=TaskSettings)
    augmentation: AugmentationSettings = Field(default_factory=AugmentationSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.features.n_frames < self.model.stack:
            raise ValueError(
                f"stack={self.model.stack} must be at most the number of frames of a clip ({self.features.n_frames}); "
                "stack fewer or take longer clips"
            )
        return self

    @property
    def n_steps(self) -> int:
        """Steps of the recurrent layers over a clip; frames that don't fill the last stack are left out."""
        return self.features.n_frames // self.model.stack

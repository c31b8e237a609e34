"""Settings: values that are checked when made and travel through JSON unchanged.

Whatever follows from a setting (frames, seconds, shapes) is a property, never a second setting. Pydantic does
the checking; :func:`settings_error` turns its findings into one line with value, rule and remedy.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from speech_rnn.errors import SettingsError

CommonLabels = Literal["12", "35", "all"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, no coercion, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    REMEDIES: ClassVar[dict[str, str]] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise settings_error(error, type(self)) from None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read settings from JSON; :class:`SettingsError` on any key or value that isn't allowed."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise settings_error(error, cls) from None

    def to_json(self) -> str:
        """The settings as indented JSON; ``from_json`` of it is equal to ``self``."""
        return self.model_dump_json(indent=2)

    def changed(self, **values: Any) -> Self:
        """A checked copy with some values replaced."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **values})


def settings_error(error: ValidationError, settings: type[BaseModel]) -> SettingsError:
    """The first finding of pydantic as one line: value, rule, remedy."""
    finding = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in finding["loc"])
    owner = _owner(settings, finding["loc"])
    if finding["type"] == "extra_forbidden":
        return SettingsError(f"{name} is not a setting; those of {owner.__name__} are {', '.join(owner.model_fields)}")
    if finding["type"] == "missing":
        return SettingsError(f"{name} is missing from {owner.__name__}; give it a value")
    if finding["type"] == "json_invalid":
        return SettingsError(f"these settings are not JSON: {finding['msg'].removeprefix('Invalid JSON: ')}")
    if finding["type"] == "value_error":
        return SettingsError(str(finding["ctx"]["error"]))
    rule = finding["msg"].replace("Input should be", "must be")
    remedy = getattr(owner, "REMEDIES", {}).get(str(finding["loc"][-1]) if finding["loc"] else "")
    default = owner.model_fields[str(finding["loc"][-1])].default if remedy is None and name else None
    remedy = remedy or (f"{default!r} is usual" if isinstance(default, (int, float, str)) else "see the documentation")
    return SettingsError(f"{name}={finding['input']!r} {rule}; {remedy}")


def _owner(settings: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The settings class that holds the last part of ``location``."""
    for part in location[:-1]:
        field = settings.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        settings = field.annotation
    return settings


class FeatureSettings(Settings):
    """The front end: samples -> MFCC. Lengths are in samples, frequencies in Hz.

    The window of ``win_length`` samples (periodic Hann) lies in the middle of the ``n_fft`` samples of a frame, as
    librosa has it; there is no padding, so a clip gives ``1 + (clip_length - n_fft) // hop_length`` frames.
    ``power_floor`` stands under the logarithm: with 1e-8 digital silence and the rounding noise of 16-bit audio
    sound alike.
    """

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
                f"hop_length={self.hop_length} must be at most n_fft={self.n_fft}, or samples would be skipped; 160 is usual"
            )
        if self.clip_length < self.n_fft:
            raise ValueError(
                f"clip_length={self.clip_length} must be at least n_fft={self.n_fft}; one second is usual"
            )
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc={self.n_mfcc} must be at most n_mels={self.n_mels}; take fewer coefficients")
        if self.f_max > self.sample_rate / 2:
            raise ValueError(
                f"f_max={self.f_max} must be at most half the sample rate ({self.sample_rate / 2}); "
                f"{0.475 * self.sample_rate} is usual"
            )
        if self.f_min >= self.f_max:
            raise ValueError(f"f_min={self.f_min} must be below f_max={self.f_max}; 20.0 is usual")
        narrowest = (self.f_max - self.f_min) / self.n_mels
        if narrowest < self.sample_rate / self.n_fft / 2:
            raise ValueError(
                f"n_mels={self.n_mels} bands between {self.f_min} and {self.f_max} Hz are narrower than half a bin of "
                f"n_fft={self.n_fft}, so some would be empty; take fewer bands or a longer n_fft"
            )
        return self

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

    REMEDIES: ClassVar[dict[str, str]] = {"cell": "'lstm', 'gru' and 'rnn' are built in"}

    cell: str = Field(default="gru", min_length=1)
    units: int = Field(default=192, ge=1, le=4_096)
    layers: int = Field(default=2, ge=1, le=8)
    stack: int = Field(default=2, ge=1, le=32)
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"


class AugmentationSettings(Settings):
    """How training clips are bent; a probability of 0 switches a kind off. On the waveform unless it says masks."""

    shift_ms: float = Field(default=100.0, ge=0.0, le=1_000.0)
    speed_probability: Probability = 0.5
    speed_range: float = Field(default=0.12, ge=0.0, lt=0.5)
    gain_probability: Probability = 0.8
    gain_low_db: float = Field(default=-12.0, ge=-60.0, le=0.0)
    gain_high_db: float = Field(default=10.0, ge=0.0, le=40.0)
    noise_probability: Probability = 0.6
    snr_low_db: float = Field(default=-5.0, ge=-30.0, le=60.0)
    snr_high_db: float = Field(default=25.0, ge=-30.0, le=60.0)
    room_probability: Probability = 0.1
    splice_probability: Probability = 0.15
    time_masks: int = Field(default=2, ge=0, le=10)
    time_mask_frames: int = Field(default=20, ge=0, le=1_000)
    frequency_masks: int = Field(default=2, ge=0, le=10)
    frequency_mask_mels: int = Field(default=6, ge=0, le=128)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(
                f"snr_low_db={self.snr_low_db} must be at most snr_high_db={self.snr_high_db}; -5.0 to 25.0 is usual"
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
    for ``"12"`` and own lists, 0 for ``"35"`` and ``"all"``.
    """

    labels: CommonLabels | tuple[str, ...] = "12"
    unknown_share: float | None = Field(default=None, ge=0.0, le=10.0)
    silence_share: float | None = Field(default=None, ge=0.0, le=10.0)
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
                raise ValueError(f"labels={','.join(self.labels)!r} must be one or more different words; 'yes,no' is an example")
            for word in self.labels:
                if not word.strip() or word.startswith("_") or "/" in word or len(word) > 64 or not word.isprintable():
                    raise ValueError(
                        f"label {word!r} must be a printable folder name of 1 to 64 characters without '/' "
                        "and without a leading '_'; rename it"
                    )
        return self


class TrainingSettings(Settings):
    """The loop: AdamW, linear warm-up, cosine decay to zero, label smoothing, clipped gradients."""

    epochs: int = Field(default=30, ge=1, le=100_000)
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
                f"stack={self.model.stack} must be at most the {self.features.n_frames} frames of a clip; 2 is usual"
            )
        return self

    @property
    def n_steps(self) -> int:
        """Steps of the recurrent layers over a clip; frames that don't fill the last stack are left out."""
        return self.features.n_frames // self.model.stack

"""What decides on a run and on a detector: settings that are checked when made and travel through JSON unchanged.

Whatever follows from a setting (frames, seconds, shapes) is a property, never a second setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from speech_rnn.settings import Settings, shown

CommonLabels = Literal["12", "35", "all"]
MOST_UNITS = 4_096  # of a layer
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
# JSON knows no tuples. Not a set: labels have an order.
Words = Annotated[tuple[str, ...], BeforeValidator(lambda words: tuple(words) if isinstance(words, list) else words)]


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
        edges = self.band_edges_hz
        bin_hz = self.sample_rate / self.n_fft
        for band in range(self.n_mels):
            # The margin keeps a bin that lies on an edge out, whichever way that is rounded.
            above_left = (math.floor(edges[band] / bin_hz + 1e-6) + 1) * bin_hz
            if above_left > edges[band + 2] - 1e-6 * bin_hz:
                return band
        return None

    @property
    def band_edges_hz(self) -> tuple[float, ...]:
        """Where mel band ``m`` begins (``m``), is highest (``m + 1``) and ends (``m + 2``): ``n_mels + 2``, rising."""
        low, high = _mel(self.f_min), _mel(self.f_max)
        return tuple(_hz(low + (high - low) * edge / (self.n_mels + 1)) for edge in range(self.n_mels + 2))

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
    """The classifier: normalization, frame stacking, recurrent layers, label logits.

    ``precision`` is that of training. With ``bfloat16_products`` all is float32 but what matrices are multiplied in:
    0.6 of the time on processors with matrix units, no gain on others. A classifier that hears ``both_ways``, and
    attends to the whole clip at its end, can only teach others: it can't be exported, for it can't stream.
    """

    UNITS: ClassVar[dict[str, str]] = {"cell": "characters", "stack": "frames"}
    REMEDIES: ClassVar[dict[str, str]] = {"cell": "'lstm', 'gru' and 'rnn' are built in"}

    cell: str = Field(default="gru", min_length=1, max_length=64)
    units: int = Field(default=160, ge=1, le=MOST_UNITS)
    layers: int = Field(default=2, ge=1, le=8)
    stack: int = Field(default=3, ge=1, le=32)
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    both_ways: bool = False
    precision: Literal["float32", "bfloat16_products", "mixed_float16", "mixed_bfloat16"] = "float32"


class AugmentationSettings(Settings):
    """How training clips are bent; a probability of 0 switches a kind off.

    Room, speed and overload need the waveform: ``renderings`` of each clip are made once, the first as it was recorded.
    Everything else is drawn anew each time a clip is heard, on the mel energies of one of them: ``neighbour`` is the
    end of another word before the clip or the beginning of one after it, ``tempo`` and ``pitch`` warp time and
    frequency, ``colour`` is a microphone's frequency response. An unknown word may become a ``splice`` of two words, or
    be heard in reverse.
    """

    UNITS: ClassVar[dict[str, str]] = {
        "shift_ms": "ms",
        "gain_low_db": "dB",
        "gain_high_db": "dB",
        "colour_db": "dB",
        "snr_low_db": "dB",
        "snr_high_db": "dB",
        "time_mask_frames": "frames",
        "frequency_mask_mels": "bands",
    }

    renderings: int = Field(default=4, ge=1, le=64)
    room_probability: Probability = 0.3
    speed_probability: Probability = 0.5
    speed_range: float = Field(default=0.12, ge=0.0, lt=0.5)
    overload_probability: Probability = 0.1
    shift_ms: float = Field(default=150.0, ge=0.0, le=1_000.0)
    tempo_range: float = Field(default=0.1, ge=0.0, lt=0.5)
    pitch_range: float = Field(default=0.06, ge=0.0, lt=0.5)
    gain_probability: Probability = 0.8
    gain_low_db: float = Field(default=-20.0, ge=-60.0, le=0.0)
    gain_high_db: float = Field(default=6.0, ge=0.0, le=40.0)
    colour_db: float = Field(default=3.0, ge=0.0, le=40.0)
    neighbour_probability: Probability = 0.1
    noise_probability: Probability = 0.6
    snr_low_db: float = Field(default=-5.0, ge=-30.0, le=60.0)
    snr_high_db: float = Field(default=30.0, ge=-30.0, le=60.0)
    splice_probability: Probability = 0.1
    reverse_probability: Probability = 0.05
    time_masks: int = Field(default=2, ge=0, le=10)
    time_mask_frames: int = Field(default=20, ge=0, le=1_000)
    frequency_masks: int = Field(default=2, ge=0, le=10)
    frequency_mask_mels: int = Field(default=6, ge=0, le=128)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(
                f"snr_low_db={self.snr_low_db} must be at most snr_high_db={self.snr_high_db}; -5.0 to 30.0 is usual"
            )
        return self

    @classmethod
    def off(cls) -> Self:
        """No augmentation of any kind."""
        return cls(
            renderings=1,
            room_probability=0.0,
            speed_probability=0.0,
            overload_probability=0.0,
            shift_ms=0.0,
            tempo_range=0.0,
            pitch_range=0.0,
            gain_probability=0.0,
            colour_db=0.0,
            neighbour_probability=0.0,
            noise_probability=0.0,
            splice_probability=0.0,
            reverse_probability=0.0,
            time_masks=0,
            frequency_masks=0,
        )

    @classmethod
    def mild(cls) -> Self:
        """For a training of few epochs, in which more could not be learned."""
        return cls.off().changed(
            shift_ms=100.0,
            gain_probability=0.8,
            gain_low_db=-10.0,
            noise_probability=0.6,
            snr_low_db=0.0,
            time_masks=2,
            frequency_masks=2,
        )


class DetectorConfig(Settings):
    """How the scores of a stream become detections.

    ``window``: the score of the last clip, exactly what the clip model says; a clip begins, and one ends, every
    ``interval_s``, rounded to whole steps. ``carry``: one state that is never reset, a score every step; cheapest, and
    fair only for models trained on streams. Scores of ``smoothing_s`` are averaged; from ``threshold`` on (a label's
    own in ``thresholds``) its label is reported, then nothing for ``refractory_s``. Labels that begin with ``_`` never
    are.
    """

    UNITS: ClassVar[dict[str, str]] = {"interval_s": "s", "smoothing_s": "s", "refractory_s": "s"}
    RULES: ClassVar[dict[str, str]] = {
        "mode": "must be 'window' or 'carry'",
        "thresholds": "must be a label's threshold each, from 0 to 1",
    }
    REMEDIES: ClassVar[dict[str, str]] = {"mode": "'window' is usual", "thresholds": "{'yes': 0.9} is an example"}

    mode: Literal["window", "carry"] = "window"
    interval_s: float = Field(default=0.12, gt=0.0, le=60.0)
    smoothing_s: float = Field(default=0.36, ge=0.0, le=60.0)
    threshold: Probability = 0.8
    thresholds: Mapping[Annotated[str, Field(min_length=1, max_length=64)], Probability] = Field(default_factory=dict)
    refractory_s: float = Field(default=1.0, ge=0.0, le=3_600.0)

    def threshold_of(self, label: str) -> float:
        """The smoothed score from which a label is reported."""
        return self.thresholds.get(label, self.threshold)


class TaskSettings(Settings):
    """What is to be told apart.

    ``labels`` is ``"12"`` (the ten commands, unknown, silence), ``"35"`` (all words of Speech Commands V2), ``"all"``
    (every folder is a label) or a tuple of words. ``unknown_share`` and ``silence_share`` are relative to the number
    of clips of the wanted words, as in the official recipe; 0 leaves that label out, ``None`` takes the usual: 0.1
    for ``"12"`` and own lists, 0 for ``"35"`` and ``"all"``. Training draws unknown words ``unknown_times`` as often:
    they are many words under one label. It never hears those of ``left_out``, so that they can tell how a model takes
    words that it has never heard. Silence is background noise at an RMS level between ``silence_low_db`` and
    ``silence_high_db``.

    Training hears ``heard_share`` of its clips, the same in every epoch, ``heard_times`` each, bent otherwise each
    time; a larger share holds all of a smaller one. With ``tuning_share`` so many of its speakers are taken out of
    training and stand in for the validation part, which isn't looked at then: what is chosen by them is judged by
    others.
    """

    UNITS: ClassVar[dict[str, str]] = {"silence_low_db": "dBFS", "silence_high_db": "dBFS"}
    RULES: ClassVar[dict[str, str]] = {
        "labels": "must be '12', '35', 'all' or a list of words",
        "left_out": "must be a list of words",
    }
    REMEDIES: ClassVar[dict[str, str]] = {
        "labels": "('yes', 'no') is an example",
        "left_out": "('bed', 'four') is an example",
        "unknown_share": "0.1 is usual",
        "silence_share": "0.1 is usual",
        "heard_share": "1.0 is usual",
        "heard_times": "1 is usual",
        "tuning_share": "0.0 is usual",
    }

    labels: CommonLabels | Words = "12"
    unknown_share: float | None = Field(default=None, ge=0.0, le=10.0)
    silence_share: float | None = Field(default=None, ge=0.0, le=10.0)
    unknown_times: float = Field(default=3.0, ge=0.0, le=100.0)
    left_out: Words = ()
    heard_share: float = Field(default=1.0, gt=0.0, le=1.0)
    heard_times: int = Field(default=1, ge=1, le=1_000)
    tuning_share: float = Field(default=0.0, ge=0.0, lt=1.0)
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
                    f"labels={shown(self.labels)} must be one or more different words; ('yes', 'no') is an example"
                )
            for word in self.labels:
                if not is_label(word):
                    raise ValueError(
                        f"label {shown(word)} must be 1 to 64 printable characters, without '/', without blanks at "
                        "its ends and without '_' or '.' in front; rename it"
                    )
        return self


class TrainingSettings(Settings):
    """The loop: AdamW, linear warm-up, cosine decay to zero, label smoothing, clipped gradients.

    ``clips_in_a_row`` clips are heard one after another without forgetting, and each is to be told at its end. With 1
    every clip begins from nothing, as in *window* mode; more teach what *carry* mode needs.

    With ``word_weight`` a second output learns to tell all words apart, those under *unknown* too, and is dropped at
    the end; its loss counts so much against that of the labels. ``teacher_weight`` is the share of a teacher's scores
    in what is to be learned, where a run has a teacher.
    """

    epochs: int = Field(default=40, ge=1, le=100_000)
    batch_size: int = Field(default=128, ge=1, le=65_536)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    warmup_share: float = Field(default=0.05, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=1e-3, ge=0.0, le=1.0)
    clip_norm: float = Field(default=1.0, gt=0.0)
    label_smoothing: float = Field(default=0.05, ge=0.0, lt=1.0)
    clips_in_a_row: int = Field(default=1, ge=1, le=64)
    word_weight: float = Field(default=0.0, ge=0.0, le=100.0)
    teacher_weight: Probability = 0.7
    seed: int = Field(default=1, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.clips_in_a_row:
            raise ValueError(
                f"batch_size={self.batch_size} must be a multiple of clips_in_a_row={self.clips_in_a_row}; 128 and 4 "
                "are an example"
            )
        return self


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

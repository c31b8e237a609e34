"""How long streams are put together: how much of what, how loud, how far from the noise."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from speech_rnn.config import Probability
from speech_rnn.settings import Settings


class StreamSettings(Settings):
    """How streams are put together. Levels are RMS of what is spoken, in dBFS; what is drawn is uniform.

    ``length_s`` is rounded up to whole scenes of ``scene_s``. ``talk_share`` and ``noise_share`` of the scenes are
    talk and noise, the rest are commands. A gap lies between the end of one word and the start of the next. Of what is
    said among commands, ``word_share`` are words of the labels; of all else ``distractor_share`` are of another
    language, as far as there are recordings of it.
    """

    UNITS: ClassVar[dict[str, str]] = {
        "length_s": "seconds",
        "scene_s": "seconds",
        "command_gap_low_s": "seconds",
        "command_gap_high_s": "seconds",
        "talk_gap_low_s": "seconds",
        "talk_gap_high_s": "seconds",
        "speech_low_db": "dBFS",
        "speech_high_db": "dBFS",
        "noise_low_db": "dBFS",
        "noise_high_db": "dBFS",
        "snr_low_db": "dB",
        "snr_high_db": "dB",
    }

    length_s: float = Field(default=600.0, ge=10.0, le=86_400.0)
    scene_s: float = Field(default=30.0, ge=10.0, le=600.0)
    talk_share: Probability = 0.3
    noise_share: Probability = 0.2
    word_share: Probability = 0.6
    distractor_share: Probability = 0.4
    command_gap_low_s: float = Field(default=1.0, ge=0.0, le=60.0)
    command_gap_high_s: float = Field(default=6.0, ge=0.0, le=60.0)
    talk_gap_low_s: float = Field(default=0.05, ge=0.0, le=60.0)
    talk_gap_high_s: float = Field(default=0.6, ge=0.0, le=60.0)
    speech_low_db: float = Field(default=-42.0, ge=-90.0, le=0.0)
    speech_high_db: float = Field(default=-18.0, ge=-90.0, le=0.0)
    snr_low_db: float = Field(default=0.0, ge=-30.0, le=60.0)
    snr_high_db: float = Field(default=30.0, ge=-30.0, le=60.0)
    noise_low_db: float = Field(default=-90.0, ge=-120.0, le=0.0)
    noise_high_db: float = Field(default=-8.0, ge=-120.0, le=0.0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what in ("command_gap", "talk_gap", "speech", "snr", "noise"):
            unit = "s" if what.endswith("gap") else "db"
            low, high = getattr(self, f"{what}_low_{unit}"), getattr(self, f"{what}_high_{unit}")
            if low > high:
                raise ValueError(f"{what}_low_{unit}={low} must be at most {what}_high_{unit}={high}; exchange them")
        if self.talk_share + self.noise_share > 1.0:
            raise ValueError(
                f"talk_share={self.talk_share} and noise_share={self.noise_share} must be at most 1 together; "
                "0.3 and 0.2 are usual"
            )
        return self

    @property
    def scenes(self) -> int:
        """Scenes of a stream."""
        return max(1, -int(-self.length_s // self.scene_s))

    @property
    def seconds(self) -> float:
        """Length of a stream: whole scenes."""
        return self.scenes * self.scene_s

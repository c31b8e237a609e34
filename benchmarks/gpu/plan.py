"""Plans: what is trained, on which clips and for how long, as ``plans/*.json`` say it; nothing here needs PyTorch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

CELLS = ("gru", "lstm")  # these networks can stream, and become runs
# What the official recipe takes of unknown words and of silence, relative to the clips of the wanted words.
USUAL_SHARE = 0.1
WARMUP_SHARE = 0.05
LEAST_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Bending:
    """How clips are bent; as :class:`speech_rnn.config.AugmentationSettings` where the names are the same.

    Attributes:
        rendered: the share of clips that are heard in their second rendering (room, speed, overload).
        silence_low_db: the least RMS level of a stretch of noise that is heard as silence, dBFS.
        silence_high_db: the greatest.
    """

    rendered: float = 0.4
    shift_ms: float = 150.0
    tempo_range: float = 0.1
    pitch_range: float = 0.06
    gain_probability: float = 0.8
    gain_low_db: float = -20.0
    gain_high_db: float = 6.0
    colour_db: float = 3.0
    neighbour_probability: float = 0.1
    noise_probability: float = 0.6
    snr_low_db: float = -5.0
    snr_high_db: float = 30.0
    splice_probability: float = 0.1
    reverse_probability: float = 0.05
    time_masks: int = 2
    time_mask_frames: int = 20
    frequency_masks: int = 2
    frequency_mask_mels: int = 6
    silence_low_db: float = -90.0
    silence_high_db: float = -8.0

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From JSON; ValueError for a key that isn't known."""
        return cls(**_known(values, cls))


@dataclass(frozen=True, kw_only=True)
class LearnerPlan:
    """A network, and how its weights are found.

    Attributes:
        name: of its weights in what the phase leaves.
        kind: ``gru`` or ``lstm``, which stream; ``both_ways`` or ``residual``, which can only teach.
        units: of each recurrent layer, in each direction; of a residual network the channels it begins with.
        stack: frames that make one step of a recurrent layer.
        dropout: share of values that are dropped behind each recurrent layer, or before the logits.
        learning_rate: the highest.
        weight_decay: of AdamW, on everything but biases and scales.
        seed: of the first weights.
    """

    USUAL: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "gru": {"stack": 3, "dropout": 0.2},
        "lstm": {"stack": 3, "dropout": 0.2},
        "both_ways": {"stack": 2, "dropout": 0.3},
        "residual": {"stack": 1, "dropout": 0.3},
    }

    name: str
    kind: str
    units: int
    stack: int
    dropout: float
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    seed: int = 1

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From JSON, with what is usual for its kind; ValueError for a kind or a key that isn't known."""
        kind = str(values.get("kind"))
        if kind not in cls.USUAL:
            raise ValueError(f"kind={kind!r} of a learner is not known; take one of {', '.join(cls.USUAL)}")
        return cls(**_known({**cls.USUAL[kind], **values}, cls))

    @property
    def streams(self) -> bool:
        """Whether it hears a clip frame by frame, and can become a run."""
        return self.kind in CELLS

    def rate(self, progress: float) -> float:
        """The learning rate: it rises for a twentieth of the phase, then falls along a cosine.

        Args:
            progress: share of the phase that has passed, 0 to 1.
        """
        if progress < WARMUP_SHARE:
            share = progress / WARMUP_SHARE
        else:
            share = 0.5 * (1 + math.cos(math.pi * (progress - WARMUP_SHARE) / (1 - WARMUP_SHARE)))
        return self.learning_rate * max(share, LEAST_RATE)


class Mixture(NamedTuple):
    """How many clips of each an epoch hears."""

    wanted: int
    unknown: int
    foreign: int
    silence: int


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """Learners that hear the same clips at the same time.

    Attributes:
        name: of the file it leaves.
        learners: one or more.
        epochs: how many it lasts, or 0.
        seconds: how long it lasts, or 0; one of the two is given.
        batch: clips that are learned from at a time.
        seed: of what becomes of the clips.
        bending: how hard they are bent.
        left_out: words that are never heard.
        true_again: how many more times true recordings of the wanted words are heard than rebuilt ones.
        unknown_times: how many times its usual share of unknown words is heard.
        foreign: words of another language, under unknown, relative to the clips of the wanted words.
        silence_times: how many times its usual share of silence is heard.
        label_smoothing: share of a target that is spread over all labels.
        teachers: ``PHASE/LEARNER`` each; the mean of their scores is learned beside the labels.
        teacher_weight: share of the teachers in a target.
    """

    name: str
    learners: tuple[LearnerPlan, ...]
    epochs: int = 0
    seconds: float = 0.0
    batch: int = 512
    seed: int = 1
    bending: Bending = field(default_factory=Bending)
    left_out: tuple[str, ...] = ()
    true_again: int = 0
    unknown_times: float = 3.0
    foreign: float = 0.0
    silence_times: float = 1.0
    label_smoothing: float = 0.05
    teachers: tuple[str, ...] = ()
    teacher_weight: float = 0.9

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.seconds > 0):
            raise ValueError(f"epochs={self.epochs} and seconds={self.seconds} of {self.name!r}: give one of the two")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From JSON; ValueError for a key that isn't known, and where not one of epochs and seconds is given."""
        known = _known(values, cls)
        known["learners"] = tuple(LearnerPlan.read(one) for one in known["learners"])
        known["bending"] = Bending.read(known.get("bending", {}))
        for name in ("left_out", "teachers"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)

    def mixture(self, n_wanted: int) -> Mixture:
        """What an epoch hears, for so many clips of the wanted words."""
        return Mixture(
            wanted=n_wanted,
            unknown=round(self.unknown_times * USUAL_SHARE * n_wanted),
            foreign=round(self.foreign * n_wanted),
            silence=round(USUAL_SHARE * n_wanted * self.silence_times),
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Phases, one after the other.

    Attributes:
        phases: a phase may name learners of those before it as its teachers.
        teachers: file of an earlier plan's phase -> its learners that teach.
    """

    phases: tuple[PhasePlan, ...]
    teachers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan.

        Raises:
            ValueError: the file is no JSON, or names what isn't known.
        """
        known = _known(json.loads(path.read_bytes()), cls)
        return cls(
            phases=tuple(PhasePlan.read(phase) for phase in known["phases"]),
            teachers={file: tuple(names) for file, names in known.get("teachers", {}).items()},
        )


def _known(values: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """A copy of the values, which must be fields of a dataclass, all that it needs among them."""
    names = [one.name for one in fields(kind)]
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    unknown = [name for name in values if name not in names]
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(names)}")
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(f"{kind.__name__} lacks {', '.join(missing)}; it needs {', '.join(needed)}")
    return dict(values)

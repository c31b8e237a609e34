"""What a phase leaves: the weights of its learners and how they came about, as one ``.npz``; needs no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.plan import PhasePlan

# Files that don't say so were written by this version, and trained on all of Speech Commands V2: so many clips of the
# wanted words, so many of them true recordings.
_FIRST_TORCH = "2.11.0+cu130"
_FIRST_WANTED, _FIRST_TRUE = 29_710, 9_710


@dataclass(frozen=True)
class Outcome:
    """What a phase leaves.

    Attributes:
        phase: its plan.
        labels: in the order of the scores.
        mean: float32 [n_mfcc], of the coefficients that were heard.
        variance: float32 [], of all of them, about their means.
        weights: of each learner; of one that streams as Keras has them, behind the normalization.
        figures: what it heard, how long it took, and each learner's loss and accuracy (validation clips, %).
        torch: the version that trained.
    """

    phase: PhasePlan
    labels: tuple[str, ...]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    weights: Mapping[str, Sequence[NDArray[Any]]]
    figures: Mapping[str, Any]
    torch: str

    @property
    def clips_an_epoch(self) -> int:
        """How many clips an epoch hears, silence included."""
        if "clips_an_epoch" in self.figures:
            return int(self.figures["clips_an_epoch"])
        return sum(self.phase.mixture(_FIRST_WANTED + self.phase.true_again * _FIRST_TRUE))

    @property
    def epochs(self) -> int:
        """How many times as many clips were heard as an epoch hears, rounded; at least 1."""
        return max(1, round(int(self.figures["clips"]) / self.clips_an_epoch))

    def save(self, folder: Path) -> None:
        """Write ``PHASE.npz``."""
        about = {
            "phase": asdict(self.phase),
            "labels": self.labels,
            "figures": self.figures,
            "torch": self.torch,
        }
        arrays = {
            f"{name}/{number:03d}": array for name, given in self.weights.items() for number, array in enumerate(given)
        }
        np.savez_compressed(
            folder / f"{self.phase.name}.npz",
            allow_pickle=False,
            mean=self.mean,
            variance=self.variance,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            **arrays,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path) as arrays:
            about = json.loads(arrays["about"].tobytes())
            phase = PhasePlan.read(about["phase"])
            return cls(
                phase=phase,
                labels=tuple(about["labels"]),
                mean=arrays["mean"],
                variance=arrays["variance"],
                weights={
                    learner.name: [arrays[key] for key in sorted(arrays.files) if key.startswith(f"{learner.name}/")]
                    for learner in phase.learners
                },
                figures=about["figures"],
                torch=about.get("torch", _FIRST_TORCH),
            )

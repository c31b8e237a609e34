"""What a card says of a model that a training run gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from speech_rnn.card import Card, DataSource, Figure, TrainingSummary
from speech_rnn.data.clips import SourceRecord
from speech_rnn.evaluation import wilson_interval
from speech_rnn.models import macs_per_second, state_sizes
from speech_rnn.runs import Run


def card_of(
    run: Run,
    name: str,
    which: Literal["best", "final"],
    figures: Sequence[Figure] | None = None,
    *,
    compact: bool = False,
) -> Card:
    """What a card says of a run, files and versions left out; the arguments are those of an export.

    Args:
        run: with the weights ``which``.
        name: the model's.
        which: weights.
        figures: what the model reaches; the run's validation accuracy if not given.
        compact: whether its folder is to be small.

    Raises:
        ModelError: the name isn't allowed.
    """
    classifier = run.classifier
    epoch = _epoch(run.history, which)
    return Card.make(
        name=name,
        labels=run.labels,
        features=run.settings.features,
        model=run.settings.model,
        states=tuple(state_sizes(classifier)),
        parameters=sum(int(np.prod(weight.shape)) for weight in classifier.trainable_weights),
        macs_per_second=macs_per_second(classifier, run.settings.features),
        compact=compact,
        synthetic=run.record.synthetic,
        data=tuple(
            DataSource(
                title=_title(source.name),
                origin=source.origin,
                digest=source.digest,
                synthetic=source.synthetic,
            )
            for source in run.record.sources
        ),
        training=TrainingSummary(
            weights=which,
            epochs=int(run.history[-1]["epoch"]) if run.history else 0,
            best_epoch=None if epoch is None else int(epoch["epoch"]),
            clips=run.record.clips,
            settings=run.settings.training,
        ),
        figures=_validation_accuracy(run, epoch, which) if figures is None else tuple(figures),
    )


def _epoch(history: Sequence[dict[str, Any]], which: Literal["best", "final"]) -> dict[str, Any] | None:
    """The line of the epoch that the weights are from: the last, or the best by validation."""
    validated = [line for line in history if line.get("validation_accuracy") is not None]
    if not validated or which == "final":
        return validated[-1] if validated else None
    return max(validated, key=lambda line: (line["validation_accuracy"], -(line.get("validation_loss") or 0.0)))


def _validation_accuracy(run: Run, epoch: dict[str, Any] | None, which: Literal["best", "final"]) -> tuple[Figure, ...]:
    n = int(epoch.get("validation_clips") or 0) if epoch else 0
    if epoch is None or n == 0:
        return ()
    value = float(epoch["validation_accuracy"])
    # The highest of many epochs flatters a little; who reads the figure shall know.
    chosen = ", which also chose the epoch" if which == "best" else ""
    low, high = wilson_interval(round(value * n), n)
    return (
        Figure(
            name="accuracy",
            value=value,
            low=low,
            high=high,
            n=n,
            # The origin too: it says what was rebuilt.
            data=("validation part of " + " and ".join(map(_described, run.record.sources)) + chosen)[:1_000].strip(),
            synthetic=run.record.synthetic,
            command=f"speech-rnn evaluate {run.folder.name}",
        ),
    )


def _described(source: SourceRecord) -> str:
    title = _title(source.name)
    return f"{title} ({source.origin})" if source.origin else title


def _title(source: str) -> str:
    """A source's name without the folders above it: a whole path would tell the world about the user's disk."""
    return " ".join("".join(c if c.isprintable() else " " for c in Path(source).name or source).split()) or "recordings"

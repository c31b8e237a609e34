"""The line of an epoch in the history of a training."""

from __future__ import annotations

from speech_rnn.settings import Settings


class Epoch(Settings):
    """A line of the history.

    Attributes:
        epoch: from 1.
        loss: mean training loss (cross-entropy with label smoothing).
        validation_loss: mean cross-entropy on the validation part, not smoothed; ``None`` where that is empty.
        validation_accuracy: share of the validation part that is right, 0 to 1; ``None`` where that is empty.
        learning_rate: of the last step.
        gradient_norm: mean over the steps of the norm of all gradients together, before it is clipped; ``None`` in runs
            of before it was measured.
        seconds: of the epoch, without validation; stops and resumes don't count.
        clips: heard in this epoch.
        validation_clips: in the validation part.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float
    clips: int
    validation_clips: int
    gradient_norm: float | None = None


def score(entry: Epoch) -> float:
    """What the best epoch has most of: validation accuracy, then a small loss; without validation, the last epoch."""
    if entry.validation_accuracy is None or entry.validation_loss is None:
        return float(entry.epoch)
    return entry.validation_accuracy - 1e-6 * entry.validation_loss

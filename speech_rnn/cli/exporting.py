"""What ``speech-rnn export`` writes: a run, or a model once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from speech_rnn.adaptation import Others, others_of
from speech_rnn.card import Card, Figure
from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import open_store
from speech_rnn.errors import DataError
from speech_rnn.export.artefact import check_place, export_classifier, export_run
from speech_rnn.export.calibration import calibration_features
from speech_rnn.recordings import open_recordings
from speech_rnn.runs import Run, load_run
from speech_rnn.scoring import settings_of
from speech_rnn.trained import open_trained


def export_trained_run(
    folder: Path,
    output: Path,
    name: str | None,
    sources: Sequence[str],
    cache: Path,
    *,
    weights: Literal["best", "final"],
    figures: Sequence[Figure] | None,
    compact: bool,
) -> Card:
    """Write a run as a model folder; integers take their ranges from its recordings, or from others."""
    check_place(output)  # before a minute is spent
    run = load_run(folder, weights)
    names = sources or [source.name for source in run.record.sources]
    _, recordings = open_recordings(names, run.settings.features, cache)
    return export_run(
        run,
        output,
        name=name or output.resolve().name,
        calibration=calibration_features(run.settings, recordings),
        which=weights,
        figures=figures,
        others=Others.of(run, recordings),
        compact=compact,
    )


def export_again(
    model: str,
    output: Path,
    name: str | None,
    sources: Sequence[str],
    cache: Path,
    *,
    figures: Sequence[Figure] | None,
    compact: bool,
) -> Card:
    """Write a model's classifier as a model folder once more, with all forms or compact.

    Raises:
        DataError: no recordings are named, of which integers are to take their ranges.
    """
    check_place(output)
    trained = open_trained(model)
    if isinstance(trained.origin, Run):
        raise TypeError(f"{model} is a run")
    if not sources:
        raise DataError(
            f"{model} is a model, and its training clips aren't with it; add --data, recordings of its words, "
            "of which integers take their ranges ('corpus' is at hand, if its words are among them)"
        )
    card = trained.origin[1]
    share = {label: None if label in card.labels else 0.0 for label in (SILENCE, UNKNOWN)}
    settings = settings_of(card)
    settings = settings.changed(
        task=settings.task.changed(silence_share=share[SILENCE], unknown_share=share[UNKNOWN]),
        training=card.training.settings or settings.training,
    )
    store = open_store(open_sources(sources), card.features, cache)
    update = {
        "name": name or output.resolve().name,
        "compact": compact,
        **({} if figures is None else {"figures": tuple(figures)}),
    }
    return export_classifier(
        trained.classifier,
        output,
        Card.from_json(card.model_copy(update=update).to_json()),  # so that the name is checked
        calibration=calibration_features(settings, store),
        others=others_of(trained, cache),
    )

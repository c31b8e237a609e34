"""What ``speech-rnn prepare`` runs and prints."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import PARTS
from speech_rnn.errors import DataError
from speech_rnn.progress import duration
from speech_rnn.quiet import quiet

if TYPE_CHECKING:
    from speech_rnn.prepared.building import Outcome


def prepare_and_print(
    names: Sequence[str],
    settings: FeatureSettings,
    folder: str,
    *,
    runner: str | None,
    workers: int | None,
    arguments: Sequence[str],
    auto_f_max: bool,
    as_json: bool,
) -> None:
    """Prepare, then print what was done.

    Args:
        names: of sources.
        settings: the front end.
        folder: of the features.
        runner: Beam's name of it; this machine where not given.
        workers: processes on this machine.
        arguments: options of Beam.
        auto_f_max: whether the recordings choose ``f_max``.
        as_json: print JSON instead of lines.

    Raises:
        DataError: some clips could not be read; the features of the others are whole.
    """
    # Beam warns through the root logger when it is imported, and would set that up on standard error.
    logging.root.addHandler(logging.NullHandler())
    with quiet():
        from speech_rnn.beam.running import engine
        from speech_rnn.prepared.building import prepare
    outcome = prepare(names, settings, folder, engine(runner, arguments, workers), auto_f_max=auto_f_max)
    record = outcome.record
    if as_json:
        print(json.dumps(_values(folder, outcome), indent=2, ensure_ascii=False), flush=True)
    else:
        print("\n".join(_lines(folder, outcome, asked=settings)), flush=True)
    if record.rejects:
        raise DataError(
            f"{record.rejects:,} of {record.clips_in:,} clips could not be read, {folder}/rejects.jsonl lists them; "
            f"the features of the other {record.clips:,} are whole and can be used"
        )


def _lines(folder: str, outcome: Outcome, *, asked: FeatureSettings) -> list[str]:
    record = outcome.record
    parts = ", ".join(
        f"{sum(record.words[part].values()):,} for {part} in {record.shards[part]} file{'s'[: record.shards[part] > 1]}"
        for part in PARTS
        if part in record.shards
    )
    lines = [f"{folder} is whole already, nothing was to do: {parts}"] if outcome.before else []
    if not lines:
        lines = [f"{folder}: {parts}; {duration(outcome.seconds)}"]
        if outcome.reused:
            lines.append(f"{outcome.reused:,} clips were there from a run before")
    if record.features.f_max != asked.f_max:
        lines.append(f"f_max is {record.features.f_max:.0f} Hz: some of the recordings carry nothing above")
    if record.left_out:
        lines.append(
            f"{record.left_out:,} training clips are left out: their speakers are in an evaluation part of another "
            "source"
        )
    return lines


def _values(folder: str, outcome: Outcome) -> dict[str, object]:
    record = outcome.record
    made = record.clips_in - outcome.reused
    return {
        "folder": folder,
        "clips": record.clips,
        "clips_in": record.clips_in,
        "rejects": record.rejects,
        "left_out": record.left_out,
        "reused": outcome.reused,
        "parts": {part: sum(words.values()) for part, words in record.words.items()},
        "shards": dict(record.shards),
        "f_max": record.features.f_max,
        "digest": record.digest,
        "seconds": round(outcome.seconds, 3),
        "clips_per_s": round(made / outcome.seconds, 1) if outcome.seconds and not outcome.before else None,
        "was_whole": outcome.before,
    }

"""What ``speech-rnn adapt`` does and says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from speech_rnn import training
from speech_rnn.adaptation import adapt, others_of
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.sources import lasting_name, open_sources
from speech_rnn.data.store import open_store
from speech_rnn.evaluation import wilson_interval
from speech_rnn.progress import duration
from speech_rnn.trained import open_trained


def adapt_and_print(
    model: str, names: Sequence[str], folder: Path, cache: Path, *, labels: Sequence[str] | None, seed: int
) -> None:
    """Learn the words and say how well they are told apart."""
    training.refuse_taken(folder)
    body = open_trained(model)
    others = others_of(body, cache)
    sources = open_sources(names)
    store = open_store(sources, body.features, cache)
    began = time.monotonic()
    records = [
        SourceRecord(name=lasting_name(name), origin=source.origin, digest=source.digest(), synthetic=source.synthetic)
        for name, source in zip(names, sources, strict=True)
    ]
    run = adapt(body, others, store, records, folder, labels=labels, seed=seed)
    words = ", ".join(run.labels[2:12]) + (" …" if len(run.labels) > 12 else "")
    print(f"{folder}: {words}, learned in {duration(time.monotonic() - began)} on the body of {body.name}")
    (epoch,) = run.history
    n, accuracy = int(epoch["validation_clips"]), epoch.get("validation_accuracy")
    if accuracy is None:
        print("the recordings have no validation part, so nothing was measured")
    else:
        low, high = wilson_interval(round(accuracy * n), n)
        print(f"validation accuracy {accuracy:.2%} ({low:.2%} to {high:.2%} at 95 %, {n:,} clips)")
    print(f"speech-rnn export {folder} -o my-model   makes files for apps of it")

"""How well a model learns words that it never heard, from a few clips of each (``speech-rnn adapt``).

    python benchmarks/adaptation.py MODEL|RUN [--words backward,eight,happy,one,tree] [--data FOLDER]
                                    [--clips 5,10,20] [--draws N] [--json]

For each number of clips a word, drawn N times from the training part: seconds to learn, and the accuracy on the
validation part, beside unknown words and silence (a tenth of the words' clips each), the mean of the draws, with
Wilson's 95 % interval. The words must be those that the model's training left out (``task.left_out``), or of a language
that it never heard.

FOLDER is $SPEECH_RNN_DATA/speech_commands where not given.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speech_rnn.adaptation import Others, adapt, others_of
from speech_rnn.cli.options import default_cache
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import open_store
from speech_rnn.draws import generator
from speech_rnn.evaluation import wilson_interval
from speech_rnn.scoring import score_run
from speech_rnn.trained import Trained, open_trained

CHECKOUT = Path(__file__).resolve().parent.parent
BAR, BAR_CLIPS = 0.90, 10


def few_clips(data: Path, folder: Path, words: Sequence[str], n: int, draw: int) -> None:
    """A folder of links: ``n`` training clips of each word, and all validation clips, of other words too."""
    listed = []
    for clip in FolderSource(data).clips:
        if clip.part == "validation":
            listed.append(clip.name)
    for word in words:
        pool = [clip.name for clip in FolderSource(data).clips if clip.word == word and clip.part == "training"]
        chosen = generator(0, f"clips of {word}", draw).permutation(pool)[:n].tolist()
        for name in chosen:
            _link(data, folder, name)
    for name in listed:
        _link(data, folder, name)
    (folder / "validation_list.txt").write_text("".join(f"{name}\n" for name in listed))


def _link(data: Path, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to((data / name).resolve())


def measure(
    body: Trained, others: Others | None, data: Path, words: Sequence[str], n: int, *, draws: int
) -> dict[str, float]:
    """Accuracy, its interval and the seconds that learning takes, the mean of some draws of clips."""
    correct, asked, seconds = 0, 0, []
    for draw in range(draws):
        with tempfile.TemporaryDirectory() as name:
            few_clips(data, Path(name) / "few", words, n, draw)
            source = FolderSource(Path(name) / "few")
            store = open_store([source], body.features, Path(name) / "cache")
            record = SourceRecord(name=source.title, origin="", digest=source.digest(), synthetic=False)
            began = time.monotonic()
            run = adapt(body, others, store, [record], Path(name) / "run", labels=words, seed=draw)
            seconds.append(time.monotonic() - began)
            scored = score_run(run, store, "validation")
        correct += int((scored.logits.argmax(axis=1) == scored.targets).sum())
        asked += len(scored.targets)
    # Draws are judged by the same clips: the interval is that of one.
    low, high = wilson_interval(round(correct / draws), asked // draws)
    return {
        "accuracy": correct / asked,
        "low": low,
        "high": high,
        "n": asked // draws,
        "seconds": float(np.mean(seconds)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL|RUN")
    parser.add_argument("--words", default="backward,eight,happy,one,tree")
    parser.add_argument("--data", default=None, metavar="FOLDER")
    parser.add_argument("--clips", default="5,10,20", help="clips a word")
    parser.add_argument("--draws", type=int, default=3, help="of clips")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of decoded clips")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    shared = Path(os.environ.get("SPEECH_RNN_DATA") or CHECKOUT.parent / "shared")
    data = Path(given.data) if given.data else shared / "speech_commands"
    body = open_trained(given.model)
    others = others_of(body, given.cache)
    words = tuple(given.words.split(","))
    figures = {n: measure(body, others, data, words, n, draws=given.draws) for n in map(int, given.clips.split(","))}
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for n, one in figures.items():
        interval = f"{100 * one['low']:.1f} to {100 * one['high']:.1f}"
        figure = f"{100 * one['accuracy']:8.1f} %   {interval}   n = {one['n']:.0f}   {one['seconds']:.1f} s"
        print(f"{n:>3} clips a word{figure}" + (f"   (at least {100 * BAR:.0f})" if n == BAR_CLIPS else ""))


if __name__ == "__main__":
    main()

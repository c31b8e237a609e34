"""How good a model is beyond the validation part of its own recordings: the yardsticks by which recipes are chosen.

    python benchmarks/yardsticks.py RUN|MODEL... [--words bed,four] [--cache FOLDER] [--json]

Each is a share with Wilson's 95 % interval, on validation clips by the official split, the same for every model:

    rebuilt         Speech Commands V2, rebuilt up to 4 kHz: all, words, unknown words, silence (noise, -90 to -8 dBFS)
    true            true recordings of the same data set: words
    conditions      both, as other levels, rooms, microphones and codecs would give them (evaluate --conditions), mean
    never heard     rebuilt and true clips of the words that training left out (task.left_out of a run, or --words),
                    taken for unknown
    Arabic          words of another language, taken for no word of the model

It takes a model of 12 labels, and of $SPEECH_RNN_DATA speech_commands, speech_commands_original and
arabic_speech_commands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic, runtime
from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.card import Figure
from speech_rnn.cli.options import default_cache
from speech_rnn.condition_scoring import ConditionReport, score_conditions
from speech_rnn.config import RunSettings
from speech_rnn.data.clips import SILENCE, UNKNOWN, Clip
from speech_rnn.data.conditions import CONDITIONS
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import Store, open_store
from speech_rnn.evaluation import Proportion, wilson_interval
from speech_rnn.runs import load_run
from speech_rnn.scoring import BATCH, Scores, judged_clips, scores_of, settings_of

CHECKOUT = Path(__file__).resolve().parent.parent
# Yardstick -> a card's name for it.
NAMES = {
    "rebuilt, all": "accuracy",
    "rebuilt, words": "accuracy_words",
    "rebuilt, unknown": "accuracy_unknown",
    "rebuilt, silence": "accuracy_silence",
    "true, words": "accuracy_true_words",
    "as recorded, words and unknown": "accuracy_as_recorded",
    "conditions, words and unknown": "accuracy_other_conditions",
    "never heard, unknown": "unknown_never_heard",
    "Arabic, no word": "no_word_arabic",
}
REBUILT, TRUE, ARABIC = "speech_commands", "speech_commands_original", "arabic_speech_commands"


@dataclass(frozen=True)
class Judge:
    """A model, and the recordings at its rate.

    Attributes:
        labels: in the order of the scores.
        settings: those under which it is judged.
        scores: of clips.
        stores: by the name of the recordings.
        never_heard: words that its training left out.
    """

    labels: tuple[str, ...]
    settings: RunSettings
    scores: Scores
    stores: dict[str, Store]
    never_heard: frozenset[str]

    def measure(self) -> dict[str, Proportion | None]:
        """Yardstick -> figure; ``None`` where there is nothing to measure."""
        found: dict[str, Any] = dict(self._parts(REBUILT, "rebuilt"))
        found["true, words"] = dict(self._parts(TRUE, "true"))["true, words"]
        reports = [self._conditions(name) for name in (REBUILT, TRUE)]
        found["as recorded, words and unknown"] = _together([one.as_recorded.accuracy for one in reports])
        # Bent copies of the same clips say no more than so many clips: the interval is that of one of each.
        n = found["as recorded, words and unknown"].n
        mean = sum(one.accuracy.correct for report in reports for one in report.conditions) / (n * len(CONDITIONS))
        found["conditions, words and unknown"] = _proportion(round(mean * n), n)
        found["never heard, unknown"] = self._taken(
            (REBUILT, TRUE), lambda clip: clip.word in self.never_heard, (UNKNOWN,)
        )
        found["Arabic, no word"] = self._taken((ARABIC,), lambda _: True, (UNKNOWN, SILENCE))
        return found

    def _parts(self, recordings: str, title: str) -> list[tuple[str, Proportion | None]]:
        judged = judged_clips(self.labels, self.settings, self.stores[recordings], "validation")
        right = np.concatenate([self._guess(clips) for _, clips in judged.batches()]) == judged.items.label
        silence, unknown = (self.labels.index(label) for label in (SILENCE, UNKNOWN))
        is_silence, is_unknown = judged.items.label == silence, judged.items.label == unknown
        return [
            (f"{title}, all", _share(right)),
            (f"{title}, words", _share(right[~is_silence & ~is_unknown])),
            (f"{title}, unknown", _share(right[is_unknown])),
            (f"{title}, silence", _share(right[is_silence])),
        ]

    def _conditions(self, recordings: str) -> ConditionReport:
        return score_conditions(
            self.scores,
            judged_clips(self.labels, self.settings, self.stores[recordings], "validation"),
            self.labels,
            self.settings.features.sample_rate,
            model="",
            data=recordings,
            part="validation",
            synthetic=False,
            command="",
        )

    def _taken(
        self, recordings: Sequence[str], wanted: Callable[[Clip], bool], labels: Sequence[str]
    ) -> Proportion | None:
        """The share of some validation clips that is taken for one of some labels."""
        answers = []
        for name in recordings:
            store = self.stores[name]
            chosen = [i for i, clip in enumerate(store.clips) if clip.part == "validation" and wanted(clip)]
            for start in range(0, len(chosen), BATCH):
                clips = store.read(np.array(chosen[start : start + BATCH])) * np.float32(1 / FULL_SCALE_INT16)
                answers.append(np.isin(self._guess(clips), [self.labels.index(label) for label in labels]))
        return _share(np.concatenate(answers)) if answers else None

    def _guess(self, clips: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.asarray(self.scores(clips).argmax(axis=1))


def _share(right: NDArray[np.bool_]) -> Proportion:
    return _proportion(int(right.sum()), len(right))


def _together(shares: Sequence[Proportion]) -> Proportion:
    return _proportion(sum(one.correct for one in shares), sum(one.n for one in shares))


def _proportion(correct: int, n: int) -> Proportion:
    low, high = wilson_interval(correct, n)
    return Proportion(correct=correct, n=n, value=correct / n, low=low, high=high)


def judge_of(model: str, words: frozenset[str], folder: Path, cache: Path) -> Judge:
    """A run's best weights, or a model's float32 stream file, which says what its clip file says."""
    if (Path(model) / "run.json").is_file():
        run = load_run(Path(model))
        labels, settings, scores = run.labels, run.settings, scores_of(run)
        words |= frozenset(settings.task.left_out)
    else:
        recognizer = runtime.load(model)
        labels, settings = recognizer.labels, settings_of(recognizer.card)
        scores = recognizer.stream_model.clip_scores
    stores = {
        name: open_store(open_sources([str(folder / name)]), settings.features, cache)
        for name in (REBUILT, TRUE, ARABIC)
    }
    return Judge(tuple(labels), settings, scores, stores, words)


def _for_card(model: str, found: dict[str, Proportion | None]) -> list[Figure]:
    """The figures as a card has them: which clips, and what measures them."""
    figures = []
    for yardstick, one in found.items():
        if one is None:
            continue
        data = f"validation parts of Speech Commands V2, rebuilt up to 4 kHz and true: {yardstick}"
        if yardstick.startswith("Arabic"):
            data = f"validation part of Arabic Speech Commands: {yardstick}"
        figures.append(
            Figure(
                name=NAMES[yardstick],
                value=one.value,
                low=one.low,
                high=one.high,
                n=one.n,
                data=data,
                synthetic=False,
                command=f"benchmarks/yardsticks.py {Path(model).name}",
            )
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="RUN|MODEL")
    parser.add_argument("--words", default="", help="words that a model has never heard")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of decoded clips")
    parser.add_argument(
        "--figures", type=Path, metavar="FILE.json", help="write one model's figures for 'speech-rnn export --figures'"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    folder = Path(os.environ.get("SPEECH_RNN_DATA") or CHECKOUT.parent / "shared")
    missing = [name for name in (REBUILT, TRUE, ARABIC) if not (folder / name).is_dir()]
    if missing:
        sys.exit(f"{folder} has no {', '.join(missing)}; let SPEECH_RNN_DATA name the folder that has")
    words = frozenset(word for word in given.words.split(",") if word)
    figures = {model: judge_of(model, words, folder, given.cache).measure() for model in given.models}
    if given.figures is not None:
        if len(figures) != 1:
            sys.exit(f"--figures takes the figures of one model, and {len(figures)} are given")
        (of_model,) = figures.items()
        atomic.write_text(given.figures, json.dumps([one.model_dump() for one in _for_card(*of_model)]))
    if given.json:
        plain = {m: {key: one and one.model_dump() for key, one in found.items()} for m, found in figures.items()}
        print(json.dumps(plain, indent=2))
        return
    for model, found in figures.items():
        print(model)
        for name, one in found.items():
            if one is not None:
                interval = f"{100 * one.low:.1f} to {100 * one.high:.1f}"
                print(f"  {name:<34}{100 * one.value:>6.1f} %   {interval:<14}{one.correct:>7,} of {one.n:,}")


if __name__ == "__main__":
    main()

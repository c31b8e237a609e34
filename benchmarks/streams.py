"""Misses and false alarms an hour on long streams with known words, and what listening to an hour costs.

    python benchmarks/streams.py [MODEL...] [--data SOURCE] [--distractors SOURCE] [--hours 5] [--page FILE.html]

Each model hears the same streams, put together by seed from the validation part of the recordings, in both ways
(window and carry). Models are folders or names; without any, all that are shipped. Recordings: those given, else
speech_commands/ and, as another language, arabic_speech_commands/ of $SPEECH_RNN_DATA, where they are, else the
embedded synthetic corpus. Scores are kept in the cache: a second run, or one after an interrupt, has them already.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import soundfile
from rich.console import Console
from rich.text import Text

from speech_rnn import atomic
from speech_rnn.cli.options import default_cache
from speech_rnn.cli.stream_report import BuiltStreams, measure, tables
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import open_store
from speech_rnn.data.stream_settings import StreamSettings
from speech_rnn.data.streams import StreamBuilder
from speech_rnn.detection_scoring import DetectionReports
from speech_rnn.runtime import load, shipped_models

CHECKOUT = Path(__file__).resolve().parent.parent
LONG_S = (600.0, 3_600.0)  # memory must be that of the shorter
# Not getrusage: its peak is inherited from the process that started this one.
LISTEN = """
import sys, time
from speech_rnn.cli.main import main
clock, cpu = time.perf_counter(), time.process_time()
try:
    main()
finally:
    peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
    print(time.perf_counter() - clock, time.process_time() - cpu, peak, file=sys.stderr)
"""


def recordings() -> tuple[list[str], list[str]]:
    """Sources of words and of another language, as far as they are here."""
    folder = Path(os.environ.get("SPEECH_RNN_DATA") or CHECKOUT.parent / "shared")
    words, others = folder / "speech_commands", folder / "arabic_speech_commands"
    return [str(words) if words.is_dir() else "corpus"], [str(others)] if others.is_dir() else []


def listening(model: str, streams: BuiltStreams, cache: Path) -> list[dict[str, float | str]]:
    """What ``recognize --stream`` takes for files of ten minutes and of an hour."""
    recognizer = load(model)
    features = recognizer.card.features
    distractors = open_store(open_sources(streams.distractors), features, cache) if streams.distractors else None
    rows: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory() as place:
        for seconds in LONG_S:
            builder = StreamBuilder(
                open_store(open_sources(streams.sources), features, cache),
                recognizer.labels,
                distractors=distractors,
                part=streams.part,
                settings=StreamSettings(length_s=seconds),
            )
            sound = Path(place) / f"{seconds:.0f}.flac"
            with soundfile.SoundFile(sound, "w", builder.sample_rate, 1, subtype="PCM_16") as file:
                for scene in builder.scenes(0):
                    file.write(scene.samples)
            for mode in ("window", "carry"):
                command = ["recognize", "--stream", str(sound), "--model", model, "--mode", mode, "--json"]
                done = subprocess.run(
                    [sys.executable, "-c", LISTEN, *command],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
                clock_s, cpu_s, peak_mb = (float(word) for word in done.stderr.split()[-3:])
                rows.append(
                    {
                        "mode": mode,
                        "minutes": seconds / 60,
                        "seconds": round(clock_s, 2),
                        "cpu_s": round(cpu_s, 2),
                        "hours_a_cpu_minute": round(60 * seconds / 3_600 / cpu_s, 1),
                        "peak_mb": round(peak_mb),
                    }
                )
    return rows


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--data", action="append", metavar="SOURCE")
    parser.add_argument("--distractors", action="append", metavar="SOURCE")
    parser.add_argument("--hours", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="draw them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def main() -> None:
    given = parsed()
    models = given.models or sorted(shipped_models())
    if not models:
        sys.exit("no model is shipped; name a folder that 'speech-rnn export RUN -o DIR' wrote")
    usual_data, usual_distractors = recordings()
    streams = BuiltStreams(
        given.data or usual_data,
        (given.distractors or []) if given.data else (given.distractors or usual_distractors),
        "validation",
        given.hours,
        given.seed,
    )
    began = time.perf_counter()
    measured = [measure(model, streams, "both", given.cache, workers=given.workers) for model in models]
    reports = DetectionReports(reports=tuple(report for one in measured for report in one.reports))
    took_s = time.perf_counter() - began
    if given.page is not None:
        from speech_rnn.report import streams_page

        atomic.write_text(given.page, streams_page(reports.reports))
    costs = {model: listening(model, streams, given.cache) for model in models}
    if given.json:
        print(json.dumps({**json.loads(reports.to_json()), "listening": costs}, indent=2))
        return
    console = Console(highlight=False)
    for one in measured:
        for element in tables(one.reports):
            console.print(element, soft_wrap=isinstance(element, Text))
        console.print()
    print(f"all of it in {took_s:.0f} s")
    head = "".join(f"{word:>{width}}" for word, width in (("minutes", 8), ("mode", 8), ("clock", 9), ("CPU", 9)))
    print(f"\n{'recognize --stream, one process':<34}{head}{'h/CPU min':>11}{'peak':>9}")
    for model, rows in costs.items():
        for row in rows:
            print(
                f"{model[-33:]:<34}{row['minutes']:>8.0f}{row['mode']:>8}{row['seconds']:>7.1f} s{row['cpu_s']:>7.1f} s"
                f"{row['hours_a_cpu_minute']:>11.1f}{row['peak_mb']:>6.0f} MB"
            )


if __name__ == "__main__":
    main()

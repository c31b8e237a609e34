"""Peak memory of a training run, its worker processes included.

    python benchmarks/training_memory.py [--json] train --data DIR --cell gru --epochs 2 -o RUN

The arguments are those of ``speech-rnn``. Every 0.2 s the proportional set size (PSS) of the whole process tree is
added up: a page that several processes share counts once, pages of the disk cache that nobody maps don't count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

EVERY_S = 0.2


@dataclass
class Peak:
    """What the run took at most; bytes."""

    pss: int = 0
    sum_of_rss: int = 0
    largest_rss: int = 0
    processes: int = 0
    samples: int = 0
    seconds: float = 0.0
    exit_code: int = 0


def measure(command: list[str]) -> Peak:
    """Run a command to its end and watch it and all that it starts."""
    peak, start = Peak(), time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command, env=environment) as run:
        root = psutil.Process(run.pid)
        while run.poll() is None:
            sizes = []
            try:
                for process in [root, *root.children(recursive=True)]:
                    try:
                        sizes.append(process.memory_full_info())
                    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
                        continue  # it has just ended
            except psutil.NoSuchProcess:
                break
            peak.pss = max(peak.pss, sum(size.pss for size in sizes))
            peak.sum_of_rss = max(peak.sum_of_rss, sum(size.rss for size in sizes))
            peak.largest_rss = max([peak.largest_rss, *(size.rss for size in sizes)])
            peak.processes = max(peak.processes, len(sizes))
            peak.samples += 1
            time.sleep(EVERY_S)
        peak.exit_code = run.wait()
    peak.seconds = time.monotonic() - start
    return peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of speech-rnn: train --data ...")
    parsed = parser.parse_args()
    if not parsed.arguments:
        parser.error("give the arguments of speech-rnn, as in: train --data corpus --cell gru")
    peak = measure([str(Path(sys.executable).with_name("speech-rnn")), *parsed.arguments])
    if parsed.json:
        print(json.dumps(asdict(peak), indent=2))
    else:
        print(f"peak memory of {peak.processes} processes together (PSS): {peak.pss / 1e9:.2f} GB")
        print(f"largest process (RSS): {peak.largest_rss / 1e9:.2f} GB; sum of RSS: {peak.sum_of_rss / 1e9:.2f} GB")
        print(f"{peak.samples} samples in {peak.seconds:.0f} s, exit code {peak.exit_code}")
    return peak.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""How fast features are made beforehand, with one process and with two.

    python benchmarks/prepare.py [--clips N] [--runs N] [--json]

Clips of a second at 16 kHz, as 16-bit WAV in a folder. Each run is the whole command, from the start of Python to the
finished folder, in a fresh process; runs with one and with two processes take turns, and what counts is the ratio of
their shortest times. "features" is the part that the processes share, the time from the first piece to the last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
CHECKOUT = Path(__file__).resolve().parent.parent


def write_clips(folder: Path, n_clips: int) -> Path:
    """Noise; what is in them doesn't matter to the time."""
    rng = np.random.default_rng(0)
    for number in range(n_clips):
        path = folder / ("yes", "no")[number % 2] / f"{number:08x}_nohash_0.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0.0, 0.1, RATE), RATE, subtype="PCM_16")
    return folder


def seconds(folder: Path, workers: int) -> tuple[float, float]:
    """Seconds of a whole run, and of its features alone."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "features"
        began = time.monotonic()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "speech_rnn.cli.main", "prepare", "--data", str(folder), "--out", str(out)),
                *("--f-max", "7600", "--workers", str(workers), "--json"),
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        first = last = 0.0
        n_before = 0
        while process.poll() is None:
            n_pieces = len(list((out / ".pieces").glob("*.piece")))
            if n_pieces > n_before:
                last = time.monotonic()
                first = first or last
                n_before = n_pieces
            time.sleep(0.05)
        if process.returncode:
            raise SystemExit(f"speech-rnn prepare ended with code {process.returncode}")
        return time.monotonic() - began, last - first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20_480)
    parser.add_argument("--runs", type=int, default=3, help="with each number of processes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    times: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = write_clips(Path(name), given.clips)
        for _ in range(given.runs):
            for workers, found in times.items():
                found.append(seconds(folder, workers))
    whole = {workers: min(one for one, _ in found) for workers, found in times.items()}
    shared = {workers: min(one for _, one in found) for workers, found in times.items()}
    figures = {
        "clips": given.clips,
        "seconds": {str(workers): [round(one, 2) for one, _ in found] for workers, found in times.items()},
        "features_seconds": {str(workers): [round(one, 2) for _, one in found] for workers, found in times.items()},
        "clips_per_s": {str(workers): round(given.clips / one, 1) for workers, one in whole.items()},
        "ratio": round(whole[1] / whole[2], 2),
        "features_ratio": round(shared[1] / shared[2], 2),
    }
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for workers, shortest in whole.items():
        name = "1 process" if workers == 1 else f"{workers} processes"
        rate = given.clips / shortest
        print(f"{name}: {shortest:.1f} s, {rate:,.0f} clips/s; features alone {shared[workers]:.1f} s")
    print(f"two processes over one: {figures['ratio']}; features alone {figures['features_ratio']}")


if __name__ == "__main__":
    main()

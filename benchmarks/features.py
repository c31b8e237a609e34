"""How fast features are made of decoded sound in memory: librosa clip by clip, one process, all cores.

    python benchmarks/features.py [--rounds N] [--json]

Clips of a second at 16 kHz, 40 coefficients, hop 10 ms. Each way takes its turn in every round and its best round
counts, since a shared machine slows each at some time; CPU time, of all processes together, tells what others' load
hides. The workers are kept from round to round; what it takes to start them is told apart.
"""

from __future__ import annotations

import os

# Before NumPy is imported: one thread a library, for each of the ways.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import time
from collections.abc import Callable

import librosa
import numpy as np
import psutil
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import FeatureSettings
from speech_rnn.feature_workers import FeatureWorkers
from speech_rnn.processes import n_cores

SETTINGS = FeatureSettings()
N_CLIPS = 2_048
N_IN_LOOP = 128  # of them for librosa, which takes longest
BARS = {"of one process": 1.7, "of the loop": 3.0}


def sounds() -> NDArray[np.float32]:
    """Bursts of noise at every level, between them the rounding noise of 16 bits."""
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((N_CLIPS, SETTINGS.clip_length), dtype=np.float32) * np.float32(1e-5)
    for clip in clips:
        start, length = rng.integers(0, 8_000), rng.integers(2_000, 8_000)
        clip[start : start + length] *= 10 ** rng.uniform(1, 4.5)
    return clips


def librosa_mfcc(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """One clip, as librosa's users write it; float32 [n_mfcc, frames]."""
    power = librosa.feature.melspectrogram(
        y=clip,
        sr=SETTINGS.sample_rate,
        n_fft=SETTINGS.n_fft,
        win_length=SETTINGS.win_length,
        hop_length=SETTINGS.hop_length,
        center=False,
        n_mels=SETTINGS.n_mels,
        fmin=SETTINGS.f_min,
        fmax=SETTINGS.f_max,
    )
    decibels = librosa.power_to_db(power, ref=1.0, amin=SETTINGS.power_floor, top_db=None)
    coefficients: NDArray[np.float32] = librosa.feature.mfcc(S=decibels, n_mfcc=SETTINGS.n_mfcc)
    return coefficients


def measure(rounds: int) -> dict[str, float]:
    """Clips a second of each way, their ratios, and how far they are from librosa."""
    clips = sounds()
    expected = np.stack([librosa_mfcc(clip).T for clip in clips[:N_IN_LOOP]])
    with FeatureWorkers(clips, SETTINGS, n_cores()) as workers:

        def on_all_cores() -> float:
            return sum(float(block[0, 0, 0]) for _, block in workers.blocks())

        started, _ = seconds(on_all_cores)
        error = max(
            float(np.abs(block - expected[clip]).max())
            for clip, block in ((clip, block) for clip, block in workers.blocks() if clip.stop <= N_IN_LOOP)
        )
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "loop of librosa": (N_IN_LOOP, lambda: [librosa_mfcc(clip) for clip in clips[:N_IN_LOOP]]),
            "one process": (N_CLIPS // 2, lambda: features.mfcc(clips[: N_CLIPS // 2], SETTINGS)),
            "all cores": (N_CLIPS, on_all_cores),
        }
        best = {way: np.full(2, np.inf) for way in ways}
        for _ in range(rounds):
            for way, (_, run) in ways.items():
                best[way] = np.minimum(best[way], seconds(run))
    rates = {way: n / best[way][0] for way, (n, _) in ways.items()}
    return {
        **rates,
        **{f"{way}, CPU µs a clip": 1e6 * best[way][1] / n for way, (n, _) in ways.items()},
        "of one process": rates["all cores"] / rates["one process"],
        "of the loop": rates["all cores"] / rates["loop of librosa"],
        "largest difference": error,
        "start of the workers, s": started - best["all cores"][0],
        "cores": n_cores(),
    }


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """What ``run`` takes by the clock, and of the processors."""
    start, used = time.perf_counter(), processor_seconds()
    run()
    return time.perf_counter() - start, processor_seconds() - used


def processor_seconds() -> float:
    """CPU time of this process and its children, in steps of 10 ms."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children())]
    return float(sum(time.user + time.system for time in times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="turns of each way (30)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for way in ("loop of librosa", "one process", "all cores"):
        print(f"{way:18}{figures[way]:10,.0f} clips/s{figures[way + ', CPU µs a clip']:10,.0f} µs of CPU a clip")
    for yardstick, bar in BARS.items():
        print(f"all cores are {figures[yardstick]:.2f} times the speed {yardstick} (bar: {bar})")
    print(f"largest difference from librosa: {figures['largest difference']:.1e} (bar: 1e-3)")
    print(
        f"{figures['cores']} cores; starting the workers took {figures['start of the workers, s']:.1f} s, not counted"
    )


if __name__ == "__main__":
    main()

"""How fast training clips are bent, kind by kind, on one thread; clips of a second at 16 kHz, batches of 128.

    python benchmarks/augmentation.py [--json]

CPU time, the best of several runs; features are there to compare with.
"""

from __future__ import annotations

import os

# Before NumPy is imported: one thread a library.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import AugmentationSettings, FeatureSettings
from speech_rnn.data.augmentation import augment, mask, splice
from speech_rnn.data.noise import NoiseBank

N_CLIPS = 128
RUNS = 25
BATCHES_A_RUN = 3
OFF = AugmentationSettings.off()
KINDS = {
    "nothing": OFF,
    "room": OFF.changed(room_probability=1.0),
    "speed": OFF.changed(speed_probability=1.0),
    "shift": OFF.changed(shift_ms=100.0),
    "gain": OFF.changed(gain_probability=1.0),
    "noise": OFF.changed(noise_probability=1.0),
    "usual settings": AugmentationSettings(),
}


def clips_per_second(make_batch: Callable[[int], object]) -> float:
    """The best rate of ``make_batch(epoch)`` in clips a CPU second."""
    make_batch(0)
    best = np.inf
    for run in range(RUNS):
        start = time.process_time()
        for n in range(BATCHES_A_RUN):
            make_batch(run * BATCHES_A_RUN + n)
        best = min(best, time.process_time() - start)
    return BATCHES_A_RUN * N_CLIPS / best


def measure() -> dict[str, float]:
    """Clips a second by kind."""
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((N_CLIPS, 16_000), dtype=np.float32) * np.float32(0.1)
    keys = np.arange(N_CLIPS)
    noise = NoiseBank([rng.integers(-3_000, 3_000, 960_000).astype(np.int16) for _ in range(6)], 16_000)

    def augmenting(settings: AugmentationSettings) -> Callable[[int], NDArray[np.float32]]:
        return lambda epoch: augment(
            clips, keys, seed=1, epoch=epoch, settings=settings, noise=noise, sample_rate=16_000
        )

    rates = {kind: clips_per_second(augmenting(settings)) for kind, settings in KINDS.items()}
    log_mel = features.log_mel(clips, FeatureSettings())
    usual = AugmentationSettings()
    rates["masks"] = clips_per_second(lambda epoch: mask(log_mel, keys, seed=1, epoch=epoch, settings=usual))
    rates["splice"] = clips_per_second(
        lambda epoch: splice(clips, clips[::-1], keys, seed=1, epoch=epoch, sample_rate=16_000)
    )
    rates["features"] = clips_per_second(lambda _: features.mfcc(clips, FeatureSettings()))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rates = measure()
    if arguments.json:
        print(json.dumps({kind: round(rate) for kind, rate in rates.items()}, indent=2))
        return
    print(f"{'kind':16}{'clips/s':>10}{'µs a clip':>12}")
    for kind, rate in rates.items():
        print(f"{kind:16}{rate:10,.0f}{1e6 / rate:12.1f}")


if __name__ == "__main__":
    main()

"""How fast training clips are bent, kind by kind, on one thread; clips of a second at 16 kHz, batches of 128.

    python benchmarks/augmentation.py [--json]

Renderings are of waveforms, once for all epochs; the kinds from "nothing" on are of mel energies, anew in each.
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
from speech_rnn.data.augmentation import NoiseFrames, bend, draw_bends, mask, splice
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.renderings import draw_scene, render

N_CLIPS = 128
RUNS = 25
BATCHES_A_RUN = 3
OFF = AugmentationSettings.off()
USUAL = AugmentationSettings()
FEATURES = FeatureSettings()
RENDERINGS = {
    "delay": OFF,
    "room": OFF.changed(room_probability=1.0),
    "speed": OFF.changed(speed_probability=1.0),
    "overload": OFF.changed(overload_probability=1.0),
    "usual rendering": USUAL,
}
BENDS = {
    "nothing": OFF,
    "shift": OFF.changed(shift_ms=USUAL.shift_ms),
    "tempo": OFF.changed(tempo_range=USUAL.tempo_range),
    "pitch": OFF.changed(pitch_range=USUAL.pitch_range),
    "neighbour": OFF.changed(neighbour_probability=1.0),
    "gain": OFF.changed(gain_probability=1.0),
    "colour": OFF.changed(colour_db=USUAL.colour_db),
    "noise": OFF.changed(noise_probability=1.0),
    "usual bend": USUAL,
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
    clips = rng.standard_normal((N_CLIPS, FEATURES.clip_length), dtype=np.float32) * np.float32(0.1)
    keys = np.arange(N_CLIPS)
    bank = NoiseBank([rng.integers(-3_000, 3_000, 960_000).astype(np.int16) for _ in range(6)], FEATURES.sample_rate)
    noise, log_mel = NoiseFrames(bank, FEATURES), features.log_mel(clips, FEATURES)

    def rendering(settings: AugmentationSettings) -> Callable[[int], object]:
        def renderings(epoch: int) -> list[NDArray[np.float32]]:
            return [
                render(clip, draw_scene(1 + epoch, number, settings), FEATURES.sample_rate, FEATURES.hop_length)
                for number, clip in enumerate(clips)
            ]

        return renderings

    def bending(settings: AugmentationSettings) -> Callable[[int], object]:
        def bent(epoch: int) -> NDArray[np.float32]:
            bends = draw_bends(keys, seed=1, epoch=epoch, settings=settings, features=FEATURES)
            neighbours = log_mel[~np.isnan(bends.neighbour)]
            return bend(log_mel, bends, FEATURES, neighbours=neighbours, noise=noise)

        return bent

    rates = {kind: clips_per_second(rendering(settings)) for kind, settings in RENDERINGS.items()}
    rates |= {kind: clips_per_second(bending(settings)) for kind, settings in BENDS.items()}
    rates["masks"] = clips_per_second(lambda epoch: mask(log_mel, keys, seed=1, epoch=epoch, settings=USUAL))
    cuts = rng.random((N_CLIPS, 2))
    rates["splice"] = clips_per_second(
        lambda _: [splice(*pair, FEATURES) for pair in zip(log_mel, log_mel[::-1], cuts, strict=True)]
    )
    rates["features"] = clips_per_second(lambda _: features.mfcc(clips, FEATURES))
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

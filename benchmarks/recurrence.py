"""What a training step costs by each precision, on this processor.

    python benchmarks/recurrence.py [--cell gru] [--units 208] [--threads 1] [--rounds N] [--json]

Each in every round, since a shared machine slows each at some time; the best round counts. The features are noise. Half
precision pays where the processor multiplies matrices in it: ``amx_bf16`` among the flags in /proc/cpuinfo.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import time
from typing import Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from speech_rnn.config import FeatureSettings, ModelSettings
from speech_rnn.models import build_classifier, build_written_out

Precision = Literal["float32", "bfloat16_products", "mixed_bfloat16"]
BATCH, N_LABELS, STEPS_A_ROUND = 128, 12, 5


def compiled(settings: ModelSettings, features: FeatureSettings) -> keras.Model:
    """What training compiles for these settings."""
    model = build_classifier(settings, features.n_frames, features.n_mfcc, N_LABELS)
    if settings.precision == "bfloat16_products":
        model = build_written_out(model)
    model.compile(
        keras.optimizers.AdamW(1e-3, global_clipnorm=1.0), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    return model


def measure(cell: str, units: int, rounds: int) -> dict[str, float]:
    """Milliseconds of a step by each precision, and how many times as fast as in float32."""
    features, rng = FeatureSettings(), np.random.default_rng(1)
    x = rng.normal(size=(BATCH, features.n_frames, features.n_mfcc)).astype(np.float32)
    y = np.eye(N_LABELS, dtype=np.float32)[rng.integers(N_LABELS, size=BATCH)]
    settings = ModelSettings(cell=cell, units=units)
    models = {name: compiled(settings.changed(precision=name), features) for name in get_args(Precision)}
    times: dict[str, list[float]] = {name: [] for name in models}
    for round_ in range(rounds + 1):  # the first one warms up
        for name, model in models.items():
            start = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                model.train_on_batch(x, y)
            if round_:
                times[name].append((time.perf_counter() - start) / STEPS_A_ROUND)
    figures = {f"{name}, ms a step": 1_000 * min(values) for name, values in times.items()}
    figures |= {f"{name}, times as fast": min(times["float32"]) / min(values) for name, values in times.items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--units", type=int, default=208)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    figures = measure(arguments.cell, arguments.units, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{arguments.cell}, 2 x {arguments.units} units, {BATCH} clips a step, {arguments.threads} thread(s)")
    for name, value in figures.items():
        print(f"{name:36}{value:10,.2f}")


if __name__ == "__main__":
    main()

"""What augmentation and features cost beside the training steps, and what the usual loop costs.

    python benchmarks/epoch.py [--cell gru] [--rounds N] [--json]

Three ways, each in every round, since a shared machine slows each at some time; the best round counts:

* steps alone: training steps on features that are ready;
* an epoch: renderings, made before, are read, bent and transformed by the workers, while the model trains;
* a loop: each clip is bent as a waveform and given to librosa by itself, then ``model.fit``.

CPU seconds are of all processes together. The clips are those of the embedded corpus, synthetic.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import librosa
import numpy as np
import psutil
from numpy.typing import NDArray

from speech_rnn.config import RunSettings
from speech_rnn.data.batches import BatchMaker, BatchWorkers
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.level import active_rms
from speech_rnn.data.renderings import draw_scene, render
from speech_rnn.data.store import open_store
from speech_rnn.data.task import Items, Task
from speech_rnn.models import build_classifier

N_BATCHES = 15
BARS = {"CPU of an epoch over steps alone": (1.6, "at most"), "clips/s over the loop": (2.0, "at least")}


def cpu_s() -> float:
    """CPU seconds of this process and its workers so far."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in [me, *me.children(recursive=True)])


def librosa_mfcc(clip: NDArray[np.float32], settings: RunSettings) -> NDArray[np.float32]:
    """MFCC of one clip, as librosa's users write it."""
    front_end = settings.features
    power = librosa.feature.melspectrogram(
        y=clip,
        sr=front_end.sample_rate,
        n_fft=front_end.n_fft,
        win_length=front_end.win_length,
        hop_length=front_end.hop_length,
        center=False,
        n_mels=front_end.n_mels,
        fmin=front_end.f_min,
        fmax=front_end.f_max,
    )
    decibels = librosa.power_to_db(power, ref=1.0, amin=front_end.power_floor, top_db=None)
    return np.asarray(librosa.feature.mfcc(S=decibels, n_mfcc=front_end.n_mfcc).T)


class Bench:
    """The three ways on the same items and equal models."""

    def __init__(self, settings: RunSettings, cache: Path) -> None:
        self.settings = settings
        store = open_store([CorpusSource()], settings.features, cache)
        task = Task.to_learn(settings.task, store.clips)
        self.n_labels = len(task.labels)
        self.batch_size = settings.training.batch_size
        epoch = task.items("training", 0, 1)
        rows = np.resize(np.arange(len(epoch)), N_BATCHES * self.batch_size)
        self.items: Items = epoch[rows]
        self.maker = BatchMaker(store, task, settings)
        self.maker.render()
        front_end = settings.features
        self.model = build_classifier(settings.model, front_end.n_frames, front_end.n_mfcc, self.n_labels)
        self.model.compile(
            keras.optimizers.AdamW(1e-3, global_clipnorm=1.0), keras.losses.CategoricalCrossentropy(from_logits=True)
        )
        self.ready = self.maker.batch(self.items, "training", 0)

    def _one_hot(self, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.eye(self.n_labels, dtype=np.float32)[labels]

    def steps_alone(self) -> None:
        """Training steps on features that are ready."""
        for start in range(0, len(self.items), self.batch_size):
            some = slice(start, start + self.batch_size)
            self.model.train_on_batch(self.ready.features[some], self._one_hot(self.ready.labels[some]))

    def epoch(self, workers: BatchWorkers) -> None:
        """Training steps on batches that the workers make meanwhile."""
        for batch in workers.batches(self.items, "training", batch_size=self.batch_size):
            self.model.train_on_batch(batch.features, self._one_hot(batch.labels))

    def batches_alone(self, workers: BatchWorkers) -> None:
        """What the workers do, without the training."""
        for _ in workers.batches(self.items, "training", batch_size=self.batch_size):
            pass

    def loop_of_features(self) -> NDArray[np.float32]:
        """Every clip bent and transformed by itself: float32 [clips, frames, n_mfcc]."""
        return np.stack([librosa_mfcc(self._bent_waveform(row), self.settings) for row in range(len(self.items))])

    def _bent_waveform(self, row: int) -> NDArray[np.float32]:
        """A clip in a scene, louder or softer, under noise, as often as the usual settings have it."""
        store, settings, rng = self.maker.store, self.settings.augmentation, np.random.default_rng(row)
        clip = store.read(np.maximum(self.items.clip[row : row + 1], 0))[0] * np.float32(1 / 32_768)
        scene = draw_scene(1, row, settings)
        bent = render(clip, scene, store.sample_rate, self.settings.features.hop_length)
        if rng.random() < settings.gain_probability:
            bent *= np.float32(10 ** (rng.uniform(settings.gain_low_db, settings.gain_high_db) / 20))
        if rng.random() < settings.noise_probability:
            snr_db = rng.uniform(settings.snr_low_db, settings.snr_high_db)
            noise = self.maker.noise.draw(rng, len(bent), "training")
            bent += noise * np.float32(active_rms(bent) * 10 ** (-snr_db / 20))
        return np.clip(bent, -1.0, 1.0)

    def loop(self) -> None:
        """The loop of features, then ``model.fit`` on them."""
        self.model.fit(self.loop_of_features(), self._one_hot(self.items.label), batch_size=self.batch_size, verbose=0)


def measure(settings: RunSettings, rounds: int) -> dict[str, float]:
    """Seconds and CPU seconds of each way, and their ratios."""
    with tempfile.TemporaryDirectory() as cache:
        bench = Bench(settings, Path(cache))
        with BatchWorkers(bench.maker) as workers:
            ways: dict[str, Callable[[], object]] = {
                "steps alone": bench.steps_alone,
                "epoch": lambda: bench.epoch(workers),
                "loop": bench.loop,
                "batches alone": lambda: bench.batches_alone(workers),
                "loop of features": bench.loop_of_features,
            }
            walls: dict[str, list[float]] = {name: [] for name in ways}
            cpus: dict[str, list[float]] = {name: [] for name in ways}
            for round_ in range(rounds + 1):  # the first one warms up
                for name, way in ways.items():
                    start, cpu = time.perf_counter(), cpu_s()
                    way()
                    if round_:
                        walls[name].append(time.perf_counter() - start)
                        cpus[name].append(cpu_s() - cpu)
    n = len(bench.items)
    figures = {f"{name}, clips/s": n / min(values) for name, values in walls.items()}
    figures |= {f"{name}, CPU ms a clip": 1_000 * min(values) / n for name, values in cpus.items()}
    figures["CPU of an epoch over steps alone"] = min(cpus["epoch"]) / min(cpus["steps alone"])
    figures["clips/s over the loop"] = min(walls["loop"]) / min(walls["epoch"])
    figures["clips/s over the loop, without the training"] = min(walls["loop of features"]) / min(
        walls["batches alone"]
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    settings = RunSettings()
    settings = settings.changed(model=settings.model.changed(cell=arguments.cell))
    figures = measure(settings, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{settings.model.cell}, {settings.model.layers} x {settings.model.units} units")
    for name, value in figures.items():
        bar, word = BARS.get(name, (None, ""))
        met = "" if bar is None else f"   bar: {word} {bar}"
        print(f"{name:48}{value:10,.2f}{met}")


if __name__ == "__main__":
    main()

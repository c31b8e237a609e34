"""How fast shards of prepared features become batches, and whether memory stays flat; synthetic features.

    python benchmarks/shards.py [--clips 1000000] [--workers 2] [--json]

Writes 32,000 clips of noise (97 frames, 40 bands) into 16 shards, then reads them again and again until so many clips
have come through the training input: decoded, shuffled, thinned and dealt into batches of 128, without the model. A
tenth as many are bent as well, by so many processes, which is what a run does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import psutil

from speech_rnn.config import AugmentationSettings, FeatureSettings, RunSettings, TaskSettings
from speech_rnn.data.clips import Part
from speech_rnn.prepared.record import RECORD, PreparedRecord, shard_paths
from speech_rnn.prepared.shards import Shards

SHARDS, CLIPS_A_SHARD = 16, 2_000
WORDS = ("yes", "no", "bed", "cat")
FEATURES = FeatureSettings()
SAMPLES = 10  # of the memory


def write(folder: Path) -> Shards:
    """A data set of noise."""
    import tensorflow as tf  # not by the processes that bend, which import this file too

    rng = np.random.default_rng(0)
    part: Part = "training"
    record = PreparedRecord(
        features=FEATURES,
        sources=(),
        words={part: dict.fromkeys(WORDS, SHARDS * CLIPS_A_SHARD // len(WORDS))},
        clips_in=SHARDS * CLIPS_A_SHARD,
        rejects=0,
        digest="0" * 64,
        shards={part: SHARDS},
        made_with={},
    )
    key = 0
    for path in shard_paths(str(folder), record, part):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(path) as file:
            for _ in range(CLIPS_A_SHARD):
                frames = rng.uniform(-80, 0, (FEATURES.n_frames, FEATURES.n_mels)).astype(np.float16)
                texts = {
                    "log_mel": frames.tobytes(),
                    "word": WORDS[key % len(WORDS)].encode(),
                    "name": str(key).encode(),
                }
                values = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in texts.items()}
                values["key"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[key]))
                file.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
                key += 1
    (folder / RECORD).write_text(record.to_json())
    return Shards(str(folder))


def settings() -> RunSettings:
    """A task of four words, bent as usual but for what needs sound."""
    usual = RunSettings(features=FEATURES, task=TaskSettings(labels=WORDS, silence_share=0.1, unknown_share=0.0))
    return usual.changed(augmentation=AugmentationSettings(renderings=1))


def pull(batches: Iterable[object], n_batches: int, batch: int) -> tuple[float, list[int]]:
    """Clips a second of so many batches, and the memory of all processes now and then, bytes."""
    memory, every = [], max(1, n_batches // SAMPLES)
    start = time.perf_counter()
    for number, _ in enumerate(islice(batches, n_batches), 1):
        if number % every == 0:
            memory.append(_memory())
    return n_batches * batch / (time.perf_counter() - start), memory


def _memory() -> int:
    me = psutil.Process()
    return sum(int(process.memory_full_info().pss) for process in [me, *me.children(recursive=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    from speech_rnn.prepared.shard_input import ShardInput

    run = settings()
    batch = run.training.batch_size
    with tempfile.TemporaryDirectory(prefix="speech_rnn_shards_") as folder:
        shards = write(Path(folder))
        with ShardInput(shards, run, workers=0) as heard:
            pull(heard.raw(0), 20, batch)  # what only happens once
            read, memory = pull(chain.from_iterable(heard.raw(epoch) for epoch in count()), given.clips // batch, batch)
        with ShardInput(shards, run, workers=given.workers) as heard:
            epochs = chain.from_iterable(heard.training(epoch) for epoch in count())
            pull(epochs, 20, batch)
            bent, _ = pull(epochs, given.clips // 10 // batch, batch)
    figures = {
        "clips": given.clips,
        "clips_per_second": round(read),
        "clips_per_second_bent": round(bent),
        "workers": given.workers,
        "memory_mb": [round(one / 2**20) for one in memory],
    }
    if given.json:
        print(json.dumps(figures))
        return
    print(f"{given.clips:,} clips through the training input, without the model: {read:,.0f} clips/s")
    print(f"bent as well, {given.workers} processes: {bent:,.0f} clips/s")
    print(f"memory after each tenth, MB: {', '.join(str(one) for one in figures['memory_mb'])}")


if __name__ == "__main__":
    main()

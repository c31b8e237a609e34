"""A prepared data set of tones, written with TensorFlow alone: what Beam writes is tested elsewhere."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import tensorflow as tf

from speech_rnn import features
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Part
from speech_rnn.data.store import Store
from speech_rnn.prepared.record import NOISE, RECORD, NoiseRecord, PreparedRecord, shard_paths


def key_of(name: str) -> int:
    """What draws for a clip are keyed by."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=64).digest()[:8], "little") & (2**63 - 1)


def write_shards(folder: Path, store: Store, settings: FeatureSettings, shards: dict[Part, int]) -> Path:
    """Features of a store's clips in so many files for each part, by turns."""
    words: dict[Part, Counter[str]] = {part: Counter() for part in shards}
    for clip in store.clips:
        if clip.part in shards:
            words[clip.part][clip.word] += 1
    record = PreparedRecord(
        features=settings,
        sources=(),
        words={part: dict(counts) for part, counts in words.items()},
        clips_in=sum(sum(counts.values()) for counts in words.values()),
        rejects=0,
        digest="0" * 64,
        noises=tuple(NoiseRecord(name=f"noise {i}", length=len(noise)) for i, noise in enumerate(store.noise)),
        shards=shards,
        made_with={},
    )
    folder.mkdir(parents=True)
    (folder / NOISE).write_bytes(b"".join(noise.tobytes() for noise in store.noise))
    for part, n_shards in shards.items():
        numbers = np.array([number for number, clip in enumerate(store.clips) if clip.part == part])
        log_mel = features.log_mel(store.read(numbers) * np.float32(1 / 32_768), settings).astype(np.float16)
        for shard, path in enumerate(shard_paths(folder, record, part)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(path) as file:
                for row in range(shard, len(numbers), n_shards):
                    clip = store.clips[numbers[row]]
                    file.write(_example(clip.name, clip.word, clip.speaker, log_mel[row].tobytes()))
    (folder / RECORD).write_text(record.to_json())
    return folder


def _example(name: str, word: str, speaker: str, log_mel: bytes) -> bytes:
    texts = {"name": name.encode(), "word": word.encode(), "speaker": speaker.encode(), "log_mel": log_mel}
    values = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()}
    values["key"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[key_of(name)]))
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()
    return serialized

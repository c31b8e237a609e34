"""Packs what a training elsewhere needs into two files.

    python -m benchmarks.gpu.pack FOLDER [--cache FOLDER]

``recorded.npz`` has the training clips as they were recorded, and background noise; ``others.npz`` has their second
rendering, words of another language, and the validation parts. It takes speech_commands, speech_commands_original and
arabic_speech_commands of $SPEECH_RNN_DATA.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.spectrograms import encode
from speech_rnn import features
from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.cli.options import default_cache
from speech_rnn.config import RunSettings
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.noise import GENERATED_SHARE, SILENT_RMS, NoiseBank
from speech_rnn.data.renderings import Renderings
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import Store, open_store
from speech_rnn.data.task import Task
from speech_rnn.feature_cache import FeatureFile, cached_features

CHECKOUT = Path(__file__).resolve().parent.parent.parent
REBUILT, TRUE, ARABIC = "speech_commands", "speech_commands_original", "arabic_speech_commands"
SETTINGS = RunSettings().changed(features=RunSettings().features.changed(f_max=4_000.0))
# What is heard untouched is kept finer than what is only to be otherwise.
RECORDED_STEP_DB, RENDERED_STEP_DB, VALIDATION_STEP_DB = 3.0, 4.5, 2.0
CLIPS_AT_ONCE = 500
LOUDEST_NOISE = np.float32(500.0)  # full scale is 1: so loud that the floor doesn't show

LogMels = NDArray[np.float16]  # [clips, frames, bands], dB


def recorded(store: Store, task: Task, clips: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """What ``recorded.npz`` has: training clips as they were recorded, what is said in them, and noise."""
    spoken = [store.clips[i].word for i in clips.tolist()]
    words = sorted(set(spoken))
    return {
        **coded("recorded", renderings(store, clips, 0), RECORDED_STEP_DB),
        "word": np.array([words.index(word) for word in spoken], np.int16),
        "words": np.array(words),
        "labels": np.array(task.labels),
        "true": store.source_of[clips] == 1,
        **noise(NoiseBank(store.noise, store.sample_rate)),
        "cosines": features.basis(SETTINGS.features).cosines,
        "edges_hz": np.array(SETTINGS.features.band_edges_hz),
    }


def others(store: Store, task: Task, clips: NDArray[np.int64], arabic: Store) -> dict[str, NDArray[np.generic]]:
    """What ``others.npz`` has: their second rendering, words of another language, and the validation parts."""
    judged = task.items("validation", 0, 0)
    maker = BatchMaker(store, task, SETTINGS)
    foreign = np.flatnonzero([clip.part == "training" for clip in arabic.clips])
    return {
        **coded("rendered", renderings(store, clips, 1), RENDERED_STEP_DB),
        **coded("arabic", _log_mels(lambda some: _full_scale(arabic, some), foreign), RENDERED_STEP_DB),
        **coded(
            "validation",
            _log_mels(lambda some: maker.waveforms(judged[some], "validation", 0), np.arange(len(judged))),
            VALIDATION_STEP_DB,
        ),
        "validation_label": judged.label,
        "validation_true": np.where(judged.clip >= 0, store.source_of[judged.clip], 0) == 1,
    }


def renderings(store: Store, clips: NDArray[np.int64], number: int) -> LogMels:
    """A rendering of training clips; 0 is as they were recorded."""
    rows = Renderings(store, SETTINGS.augmentation, SETTINGS.features.hop_length)
    file = FeatureFile(cached_features(rows, SETTINGS.features, store.cache, kind="log_mel", title="renderings"))
    return _in_parts(lambda some: file.read(rows.rows(some, np.full(len(some), number))), clips)


def noise(bank: NoiseBank) -> dict[str, NDArray[np.generic]]:
    """Frames of noise, dB, one recording behind the other, and the level of the sound at each, dBFS."""
    shares = [
        (kind, share.astype(np.float32)) for kind, of_kind in enumerate(bank.shares("training")) for share in of_kind
    ]
    heard = [_sounding(share) for _, share in shares]
    return {
        "noise": np.concatenate([frames for frames, _ in heard]),
        "noise_level": np.concatenate([level for _, level in heard]),
        "noise_lengths": np.array([len(frames) for frames, _ in heard]),
        "noise_generated": np.array([kind for kind, _ in shares]),
        "generated_share": np.array(GENERATED_SHARE),
    }


def coded(name: str, log_mels: LogMels, step_db: float) -> dict[str, NDArray[np.generic]]:
    """Spectrograms as arrays ``NAME/...``; see :func:`benchmarks.gpu.spectrograms.encode`."""
    return {f"{name}/{part}": values for part, values in encode(log_mels, step_db).items()}


def _sounding(share: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Those frames of a recording that aren't silent, [frames, bands], and their levels [frames], dB."""
    samples = share - share.mean()
    samples *= LOUDEST_NOISE / np.abs(samples).max()
    frames = features.log_mel(samples[np.newaxis], SETTINGS.features)[0]
    hops = np.square(samples, dtype=np.float64)[: len(frames) * SETTINGS.features.hop_length]
    level = 10 * np.log10(hops.reshape(len(frames), -1).mean(axis=1) + 1e-20)
    # Two steps of 16 bits, as the bank has it, at this level.
    is_sounding = level > 10 * np.log10(np.square(SILENT_RMS * float(LOUDEST_NOISE) / np.abs(share).max()))
    return frames[is_sounding].astype(np.float16), level[is_sounding].astype(np.float16)


def _full_scale(store: Store, clips: NDArray[np.int64]) -> NDArray[np.float32]:
    return store.read(clips) * np.float32(1 / FULL_SCALE_INT16)


def _log_mels(sound: Callable[[NDArray[np.int64]], NDArray[np.float32]], clips: NDArray[np.int64]) -> LogMels:
    return _in_parts(lambda some: features.log_mel(sound(some), SETTINGS.features), clips)


def _in_parts(log_mel: Callable[[NDArray[np.int64]], NDArray[np.float32]], clips: NDArray[np.int64]) -> LogMels:
    """Half as many bytes, and no more than some clips at a time at full width."""
    parts = np.split(clips, range(CLIPS_AT_ONCE, len(clips), CLIPS_AT_ONCE))
    return np.concatenate([log_mel(some).astype(np.float16) for some in parts])


def _write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    np.savez_compressed(path, allow_pickle=False, **arrays)
    print(path, f"{path.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of decoded clips")
    given = parser.parse_args()
    data = Path(os.environ.get("SPEECH_RNN_DATA") or CHECKOUT.parent / "shared")
    missing = [name for name in (REBUILT, TRUE, ARABIC) if not (data / name).is_dir()]
    if missing:
        sys.exit(f"{data} has no {', '.join(missing)}; let SPEECH_RNN_DATA name the folder that has")
    store, arabic = (
        open_store(open_sources([str(data / name) for name in names]), SETTINGS.features, given.cache)
        for names in ((REBUILT, TRUE), (ARABIC,))
    )
    task = Task.to_learn(SETTINGS.task, store.clips)
    clips = np.flatnonzero([clip.part == "training" and not clip.word.startswith("_") for clip in store.clips])
    given.folder.mkdir(parents=True, exist_ok=True)
    _write(given.folder / "recorded.npz", recorded(store, task, clips))
    _write(given.folder / "others.npz", others(store, task, clips, arabic))


if __name__ == "__main__":
    main()

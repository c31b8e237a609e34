"""A prepared data set, from names of sources to the folder that :mod:`speech_rnn.prepared.record` describes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import apache_beam as beam

from speech_rnn import atomic
from speech_rnn.beam.files import exists, is_remote, join, matching, read_bytes, remove_folder, write_bytes
from speech_rnn.beam.running import Engine, running
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import PARTS, Part, SourceRecord
from speech_rnn.data.store import to_int16
from speech_rnn.errors import DataError, SpeechRnnError
from speech_rnn.prepared.pieces import MODULUS, SUFFIX, Table, read_table
from speech_rnn.prepared.pipeline import MakePieces, Plan, forget_read, n_read, tally_path
from speech_rnn.prepared.planning import Opened, open_all, plan, plan_digest, suggested_f_max
from speech_rnn.prepared.record import (
    DATASET,
    NOISE,
    RECORD,
    REJECTS,
    SPLITS,
    NoiseRecord,
    PreparedRecord,
)
from speech_rnn.prepared.shards import Shards
from speech_rnn.prepared.units import Unit, source_digest
from speech_rnn.processes import alone

PIECES = ".pieces"
LOCK = ".lock"
CLIPS_A_SHARD = 1_024  # 8 MB
MOST_SHARDS = 4_096  # of a part
USUAL_LANES = 8
LIBRARIES = ("apache-beam", "librosa", "numpy", "soundfile", "soxr", "tensorflow-datasets")


@dataclass(frozen=True)
class Outcome:
    """What a run has done.

    Attributes:
        record: of the data set.
        reused: clips whose features an earlier run had left.
        seconds: in all.
        before: whether it was whole already, and nothing was done.
    """

    record: PreparedRecord
    reused: int
    seconds: float
    before: bool = False


def prepare(
    names: Sequence[str], settings: FeatureSettings, folder: str, engine: Engine, *, auto_f_max: bool = False
) -> Outcome:
    """Make a data set of features, or finish one that was begun with the same settings and recordings.

    Args:
        names: of sources; see :func:`speech_rnn.prepared.remote.open_anywhere`.
        settings: the front end.
        folder: of the data set; local, or wherever Beam and TFDS can write.
        engine: what computes.
        auto_f_max: whether the recordings choose ``f_max``: not above what they carry.

    Raises:
        DataError: a source can't be used, none of the clips can be read, another process works in the folder, or it
            holds something else.
        AudioError: background noise can't be decoded.
        SpeechRnnError: a pipeline failed; what was computed stays for the next run.
    """
    began = time.monotonic()
    folder = folder.rstrip("/") if is_remote(folder) else str(Path(folder).expanduser().resolve())
    _refuse_foreign(folder)
    opened = open_all(names)
    with _only_one(folder):
        work = plan(opened, settings, join(folder, PIECES))
        if auto_f_max and (f_max := suggested_f_max(work)) != settings.f_max:
            settings = settings.changed(f_max=f_max)
            work = plan(opened, settings, join(folder, PIECES))
        noises, noise = _noise(opened, settings)
        noise_digest = hashlib.sha256(noise).hexdigest()
        if exists(join(folder, RECORD)):
            return _whole_already(folder, plan_digest(work), noise_digest, began)
        write_bytes(join(folder, NOISE), noise)
        tables, reused = _pieces(work, engine)
        rejects = [(table.part, one) for table in tables.values() for one in table.rejects]
        lines = [{"name": one.name, "part": part, "reason": one.reason} for part, one in sorted(rejects, key=_by_name)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_bytes(join(folder, REJECTS), text.encode(errors="replace"))
        if not any(table.rows for table in tables.values()):
            remove_folder(work.pieces)
            raise DataError(
                f"none of the {len(rejects):,} clips could be read, so there are no features; {lines[0]['reason']}"
            )
        kept = Plan(settings, tuple(unit for unit in work.units if tables[unit.key].rows), work.pieces)
        shards = _write_shards(kept, tables, folder, engine)
        record = PreparedRecord(
            features=settings,
            sources=_sources(opened, tables),
            words=_words(tables.values()),
            clips_in=sum(len(unit.takes) for unit in work.units),
            rejects=len(rejects),
            left_out=opened.left_out,
            digest=f"{sum(table.digest for table in tables.values()) % MODULUS:064x}",
            noises=noises,
            noise_digest=noise_digest,
            shards=shards,
            made_with=_versions(),
            plan=plan_digest(work),
        )
        if record.clips_in != record.clips + record.rejects:
            raise SpeechRnnError(
                f"{record.clips_in:,} clips went in, {record.clips:,} features and {record.rejects:,} rejects came "
                "out; run it again"
            )
        write_bytes(join(folder, RECORD), record.to_json().encode())
        remove_folder(work.pieces)
    return Outcome(record, reused, time.monotonic() - began)


def builder_class() -> Any:
    """The TFDS builder in ``datasets/keyword_features``, inside the installed package or beside it in a checkout.

    Raises:
        DataError: in neither place.
    """
    package = Path(str(resources.files("speech_rnn")))
    module_name = f"{DATASET}_dataset_builder"
    for folder in (package / "datasets" / DATASET, package.parent / "datasets" / DATASET):
        path = folder / f"{module_name}.py"
        if path.is_file():
            return _loaded(path)
    raise DataError(f"the builder of {DATASET} is neither inside {str(package)!r} nor beside it; install it again")


@cache
def _loaded(path: Path) -> Any:
    """The builder's class; TFDS knows one class by a name only, so a module is loaded once."""
    spec = spec_from_file_location(f"speech_rnn.datasets.{DATASET}.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DataError(f"{str(path)!r} can't be loaded; install speech-rnn again")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Builder


@contextmanager
def _only_one(folder: str) -> Iterator[None]:
    if is_remote(folder):  # no locks there; pieces and shards are renamed into place, so none is ever half
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    refusal = DataError(f"another process prepares into {folder}; wait for it, or give another folder")
    with alone(Path(folder, LOCK), refusal):
        for name in (NOISE, REJECTS, RECORD):
            atomic.remove_leftovers(Path(folder, name))
        yield


def _refuse_foreign(folder: str) -> None:
    if is_remote(folder):
        return
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise DataError(f"{folder} is a file, where a folder for the features is wanted; give another name")
    ours = {RECORD, REJECTS, NOISE, DATASET, PIECES, LOCK}
    others = [one.name for one in path.iterdir() if one.name not in ours] if path.is_dir() else []
    others = [name for name in others if not name.startswith((".noise-", ".rejects-", ".prepared-"))]
    if others:
        raise DataError(f"{folder} holds other things, such as {min(others)!r}; give a new or empty folder")


def _whole_already(folder: str, digest: str, noise_digest: str, began: float) -> Outcome:
    record = Shards(folder).record  # which finds files that are missing
    if (record.plan, record.noise_digest) != (digest, noise_digest):
        raise DataError(
            f"{folder} holds features already, of other recordings or settings; give another folder, or remove it"
        )
    remove_folder(join(folder, PIECES))
    return Outcome(record, record.clips, time.monotonic() - began, before=True)


def _noise(opened: Opened, settings: FeatureSettings) -> tuple[tuple[NoiseRecord, ...], bytes]:
    """The background noise of all sources: names and lengths, and int16 samples one behind the other."""
    noises, samples = [], []
    for number, source in enumerate(opened.sources):
        for name, waveform in zip(source.noises, source.noise_waveforms(settings.sample_rate), strict=True):
            samples.append(to_int16(waveform).astype("<i2").tobytes())
            noises.append(NoiseRecord(name=f"{number}/{name}", length=len(waveform)))
    return tuple(noises), b"".join(samples)


def _pieces(work: Plan, engine: Engine) -> tuple[dict[str, Table], int]:
    """The table of each unit's piece, made where it wasn't there, and how many clips were."""
    tables: dict[str, Table] = {}
    for unit in work.units:
        table = read_table(work.pieces, unit, work.settings)
        if table is not None:
            tables[unit.key] = table
    reused = sum(len(table.rows) + len(table.rejects) for table in tables.values())
    missing = {unit.key: unit for unit in work.units if unit.key not in tables}
    if missing:
        total = sum(len(unit.takes) for unit in missing.values())
        with (
            running("features", total, lambda: _done(work.pieces, missing)),
            beam.Pipeline(runner=engine.runner, options=engine.options(engine.workers_for(total))) as pipeline,
        ):
            _ = pipeline | "features" >> MakePieces(work, missing.values(), os.getpid() if engine.here else None)
    for unit in missing.values():
        table = read_table(work.pieces, unit, work.settings)
        if table is None:
            raise SpeechRnnError(f"{work.pieces} lacks the features of {unit.takes[0].name!r} and others; run it again")
        tables[unit.key] = table
    return tables, reused


def _done(folder: str, missing: Mapping[str, Unit]) -> int:
    """Clips of the missing units whose piece is there."""
    if is_remote(folder):
        names = [state.path.rpartition("/")[2] for state in matching(join(folder, f"*{SUFFIX}"))]
    else:
        names = [path.name for path in Path(folder).glob(f"*{SUFFIX}")]
    keys = (name.removesuffix(SUFFIX) for name in names)
    return sum(len(missing[key].takes) for key in keys if key in missing)


def _write_shards(kept: Plan, tables: Mapping[str, Table], folder: str, engine: Engine) -> dict[Part, int]:
    """Let TFDS write the examples; how many files each part has."""
    import tensorflow_datasets as tfds

    below = join(folder, DATASET)
    remove_folder(below)  # of a run that was killed: its record is missing, so nobody reads it
    forget_read(kept.pieces)
    n_clips = sum(len(table.rows) for table in tables.values())
    with running("writing", n_clips, lambda: n_clips * n_read(kept.pieces) // len(kept.units)):
        # Each further process would load TensorFlow, to spare little: on this machine one will do.
        options = engine.options()
        tfds.disable_progress_bar()
        builder = builder_class()(plan=kept, data_dir=folder)
        builder.download_and_prepare(
            download_dir=join(kept.pieces, "downloads"),
            download_config=tfds.download.DownloadConfig(
                beam_runner=engine.runner, beam_options=options, num_shards=n_shards(n_clips)
            ),
        )
    shards: dict[Part, int] = {}
    for part in PARTS:
        mine = [tables[unit.key] for unit in kept.of(part)]
        if not mine:
            continue
        counted, digest = json.loads(read_bytes(tally_path(kept.pieces, part)))
        expected = sum(len(table.rows) for table in mine), sum(table.digest for table in mine) % MODULUS
        split = builder.info.splits[SPLITS[part]]
        if (counted, int(digest, 16)) != expected or split.num_examples != expected[0]:
            remove_folder(below)
            raise SpeechRnnError(
                f"{expected[0]:,} clips of {part} went in, {counted:,} were read and {split.num_examples:,} written, "
                "or others than went in; run it again"
            )
        shards[part] = split.num_shards
    return shards


def n_shards(n_clips: int) -> int:
    """Files a part: enough for workers that share them, and not more than a file system bears.

    Many are a multiple of eight, which are the lanes of a usual batch.

    >>> n_shards(300), n_shards(5_000), n_shards(100_000), n_shards(100_000_000)
    (1, 5, 104, 4096)
    """
    n = max(1, math.ceil(n_clips / CLIPS_A_SHARD))
    return min(n if n < USUAL_LANES else USUAL_LANES * math.ceil(n / USUAL_LANES), MOST_SHARDS)


def _sources(opened: Opened, tables: Mapping[str, Table]) -> tuple[SourceRecord, ...]:
    contents: list[dict[str, str]] = [{} for _ in opened.sources]
    for table in tables.values():
        named = [(row.name, row.content) for row in table.rows] + [(one.name, one.content) for one in table.rejects]
        for whole, content in named:
            number, _, name = whole.partition("/")
            if content:
                contents[int(number)][name] = content
    return tuple(
        SourceRecord(name=name, origin=source.origin, digest=source_digest(source, found), synthetic=source.synthetic)
        for name, source, found in zip(opened.names, opened.sources, contents, strict=True)
    )


def _words(tables: Any) -> dict[Part, dict[str, int]]:
    counts: dict[Part, Counter[str]] = {}
    for table in tables:
        if table.rows:
            counts.setdefault(table.part, Counter()).update(row.word for row in table.rows)
    return {part: dict(sorted(counts[part].items())) for part in PARTS if part in counts}


def _by_name(reject: tuple[Part, Any]) -> str:
    return str(reject[1].name)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}

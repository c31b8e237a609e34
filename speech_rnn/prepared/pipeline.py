"""The two pipelines of Apache Beam: units of work -> pieces, and pieces -> the examples that TFDS writes.

Nothing here loads TensorFlow, so the processes that compute features don't.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from speech_rnn.beam.files import is_remote, join, write_bytes
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Part
from speech_rnn.errors import DataError
from speech_rnn.features import Basis, adopt, basis
from speech_rnn.prepared.pieces import MODULUS, examples, make_piece, piece_path, read_piece
from speech_rnn.prepared.unit_lists import read_list, write_lists
from speech_rnn.prepared.units import Unit
from speech_rnn.processes import leave_with

TALLY = "tally"
READ = "read"


@dataclass(frozen=True)
class Plan:
    """What is to be prepared.

    Attributes:
        settings: the front end.
        units: the work, all sources together.
        pieces: folder of the pieces.
    """

    settings: FeatureSettings
    units: tuple[Unit, ...]
    pieces: str

    def of(self, part: Part) -> list[Unit]:
        """The units of a part."""
        return [unit for unit in self.units if unit.part == part]


class _Listed(beam.PTransform[Any, Any]):
    """Units as elements, out of files: they themselves would make the pipeline larger than a service takes it.

    Dataflow takes 10 MB (https://cloud.google.com/dataflow/quotas), which are a hundred thousand clips.
    """

    def __init__(self, units: Sequence[Unit], folder: str) -> None:
        super().__init__()
        self._paths = write_lists(units, folder)

    def expand(self, pipeline: Any) -> Any:
        """Apply to a pipeline."""
        lists = pipeline | beam.Create(self._paths, reshuffle=False) | "spread lists" >> beam.Reshuffle()
        return lists | beam.FlatMap(read_list) | "spread units" >> beam.Reshuffle()


class MakePieces(beam.PTransform[Any, Any]):
    """Units without a piece -> pieces on disk; nothing comes out.

    Args:
        plan: what they belong to.
        missing: the units.
        owner: a process of this machine, without which those that compute have nothing to work for.
    """

    def __init__(self, plan: Plan, missing: Iterable[Unit], owner: int | None = None) -> None:
        super().__init__()
        self._plan, self._missing, self._owner = plan, list(missing), owner

    def expand(self, pipeline: Any) -> Any:
        """Apply to a pipeline."""
        plan = self._plan
        made = _MakePiece(plan.settings, basis(plan.settings), plan.pieces, self._owner)
        return pipeline | _Listed(self._missing, plan.pieces) | beam.ParDo(made)


class ReadPieces(beam.PTransform[Any, Any]):
    """The pieces of one part -> examples by key; a piece that is missing is made.

    How many went through and the sum of their digests, which the pipeline itself counts, are left in a file.
    """

    def __init__(self, plan: Plan, part: Part) -> None:
        super().__init__()
        self._plan, self._part = plan, part

    def expand(self, pipeline: Any) -> Any:
        """Apply to a pipeline."""
        plan = self._plan
        read = _ReadPiece(plan.settings, basis(plan.settings), plan.pieces)
        found = (
            pipeline | _Listed(plan.of(self._part), plan.pieces) | beam.ParDo(read).with_outputs(TALLY, main="examples")
        )
        _ = found[TALLY] | beam.CombineGlobally(_Sum()) | beam.Map(_leave, tally_path(plan.pieces, self._part))
        return found["examples"]


def n_read(folder: str) -> int:
    """How many pieces were read since :func:`forget_read`, for whoever shows progress; of a local folder only."""
    try:
        return Path(folder, READ).stat().st_size
    except OSError:
        return 0


def forget_read(folder: str) -> None:
    """Begin to count anew."""
    if not is_remote(folder):
        Path(folder, READ).unlink(missing_ok=True)


def note_read(folder: str) -> None:
    """Count a piece that was read."""
    if not is_remote(folder):
        with Path(folder, READ).open("ab") as file:  # a byte a piece: appending is atomic
            file.write(b".")


def tally_path(folder: str, part: Part) -> str:
    """Where :class:`ReadPieces` leaves what it has counted: JSON, ``[clips, digest in hexadecimal]``."""
    return join(folder, f"{part}.tally")


class _WithPieces(beam.DoFn):
    def __init__(self, settings: FeatureSettings, constants: Basis, folder: str, owner: int | None = None) -> None:
        super().__init__()
        self._settings, self._constants, self._folder, self._owner = settings, constants, folder, owner

    def setup(self) -> None:
        """Take over the constants, for which librosa would have to be loaded."""
        adopt(self._constants)
        if self._owner not in (None, os.getpid()):
            leave_with(self._owner)


class _MakePiece(_WithPieces):
    def process(self, unit: Unit) -> None:
        make_piece(unit, self._settings, self._folder)


class _ReadPiece(_WithPieces):
    def process(self, unit: Unit) -> Iterator[Any]:
        piece = read_piece(self._folder, unit, self._settings)
        if piece is None:
            make_piece(unit, self._settings, self._folder)
            piece = read_piece(self._folder, unit, self._settings)
        if piece is None:
            raise DataError(f"{piece_path(self._folder, unit)!r} reads otherwise than it was written; use another disk")
        yield from examples(piece)
        yield beam.pvalue.TaggedOutput(TALLY, (len(piece.table.rows), piece.table.digest))
        note_read(self._folder)


class _Sum(beam.CombineFn):
    """Sums of clips and of digests."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, accumulator: tuple[int, int], element: tuple[int, int]) -> tuple[int, int]:
        return accumulator[0] + element[0], (accumulator[1] + element[1]) % MODULUS

    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]) -> tuple[int, int]:
        clips, digests = zip(*accumulators, strict=True)
        return sum(clips), sum(digests) % MODULUS

    def extract_output(self, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator


def _leave(tally: tuple[int, int], path: str) -> None:
    write_bytes(path, json.dumps([tally[0], f"{tally[1]:064x}"]).encode())

"""Units of work in files, some hundred to each, for workers to read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from speech_rnn.beam.files import join, read_bytes, write_bytes
from speech_rnn.errors import DataError
from speech_rnn.prepared.units import CorpusFile, Files, Reader, Recording, Records, Take, Unit

UNITS_A_LIST = 128
SUFFIX = ".units"
READERS: dict[str, type[Any]] = {kind.__name__: kind for kind in (CorpusFile, Files, Recording, Records)}


def write_lists(units: Sequence[Unit], folder: str) -> list[str]:
    """Write units into a folder; returns the files, which are the same for the same units."""
    paths = []
    for start in range(0, len(units), UNITS_A_LIST):
        content = json.dumps([_values(unit) for unit in units[start : start + UNITS_A_LIST]]).encode()
        paths.append(join(folder, f"{hashlib.sha256(content).hexdigest()[:32]}{SUFFIX}"))
        write_bytes(paths[-1], content)
    return paths


def read_list(path: str) -> Iterator[Unit]:
    """The units of a file that :func:`write_lists` wrote.

    Raises:
        DataError: the file is not what was written, or gone.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path!r} can't be read ({error}); run it again") from None
    if not path.endswith(f"{hashlib.sha256(content).hexdigest()[:32]}{SUFFIX}"):
        raise DataError(f"{path!r} reads otherwise than it was written; run it again")
    return map(_unit, json.loads(content))


def _values(unit: Unit) -> dict[str, Any]:
    reader: Any = unit.reader
    return {
        "key": unit.key,
        "source": unit.source,
        "part": unit.part,
        "reader": [type(reader).__name__, *(getattr(reader, field.name) for field in fields(reader))],
        "takes": [[take.name, take.word, take.speaker, take.place] for take in unit.takes],
    }


def _unit(values: dict[str, Any]) -> Unit:
    kind, *arguments = values["reader"]
    reader: Reader = READERS[kind](*arguments)
    takes = tuple(Take(name, word, speaker, _place(place)) for name, word, speaker, place in values["takes"])
    return Unit(values["key"], values["source"], values["part"], reader, takes)


def _place(place: Any) -> Hashable:
    """JSON has no tuples."""
    return tuple(place) if isinstance(place, list) else place

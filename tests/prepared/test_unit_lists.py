from __future__ import annotations

from pathlib import Path

import pytest

from speech_rnn.errors import DataError
from speech_rnn.prepared import unit_lists
from speech_rnn.prepared.unit_lists import read_list, write_lists
from speech_rnn.prepared.units import CorpusFile, Files, Reader, Recording, Records, Take, Unit

NAME = 'a "q" \udcff\nword'


def unit(number: int, reader: Reader, *places: object) -> Unit:
    takes = tuple(Take(f"0/{NAME}/{n}", NAME, "", place) for n, place in enumerate(places))
    return Unit(f"{number:032x}", 3, "validation", reader, takes)


UNITS = [
    unit(0, Files(), "/somewhere/a.wav", "gs://bucket/b.wav"),
    unit(1, Recording("/talks/monday.flac"), (0.1, 1.25), (2.0, 3.0)),
    unit(2, CorpusFile(7), 0, 1, 2),
    unit(3, Records("/data/x.tfrecord"), 0, 4_096),
]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_units_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(unit_lists, "UNITS_A_LIST", at_once)

    paths = write_lists(UNITS, str(tmp_path))

    assert len(paths) == -(-len(UNITS) // at_once)
    assert [one for path in paths for one in read_list(path)] == UNITS
    assert write_lists(UNITS, str(tmp_path)) == paths


def test_a_list_that_has_changed_or_is_gone_is_refused(tmp_path: Path) -> None:
    (path,) = write_lists(UNITS, str(tmp_path))
    Path(path).write_bytes(Path(path).read_bytes().replace(b"monday", b"sunday"))
    with pytest.raises(DataError, match="reads otherwise than it was written; run it again"):
        list(read_list(path))

    Path(path).unlink()
    with pytest.raises(DataError, match="can't be read"):
        list(read_list(path))

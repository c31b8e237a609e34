from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from speech_rnn.data.sources import open_source
from speech_rnn.prepared.pieces import (
    BATCH,
    MODULUS,
    example_digest,
    example_key,
    examples,
    make_piece,
    piece_path,
    read_piece,
    read_table,
)
from speech_rnn.prepared.units import Unit, cut_into_units
from tests.prepared.small import TINY, speaker, write_words


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """More clips than are transformed at a time, one of them no sound."""
    folder = write_words(tmp_path_factory.mktemp("words"), BATCH)
    (folder / "yes" / f"{speaker(9)}_nohash_0.wav").write_bytes(b"no sound")
    source = open_source(str(folder))
    training = [clip for clip in source.clips if clip.part == "training"]
    (only,) = cut_into_units(source, 0, training, TINY)
    assert len(only.takes) > BATCH
    return only


def test_a_piece_holds_every_clip_once_as_example_or_as_reject(unit: Unit, tmp_path: Path) -> None:
    make_piece(unit, TINY, str(tmp_path))

    piece = read_piece(str(tmp_path), unit, TINY)

    assert piece is not None
    assert read_table(str(tmp_path), unit, TINY) == piece.table
    assert len(piece.table.rejects) == 1
    assert piece.table.rejects[0].name == f"0/yes/{speaker(9)}_nohash_0.wav"
    names = [name for name, _ in examples(piece)] + [one.name for one in piece.table.rejects]
    assert sorted(names) == sorted(take.name for take in unit.takes)
    assert piece.features.shape == (len(unit.takes) - 1, TINY.n_frames, TINY.n_mels)
    assert piece.features.dtype == np.float16
    assert [path.name for path in tmp_path.iterdir()] == [f"{unit.key}.piece"]


def test_the_digest_of_a_piece_is_the_sum_of_its_examples(unit: Unit, tmp_path: Path) -> None:
    make_piece(unit, TINY, str(tmp_path))
    piece = read_piece(str(tmp_path), unit, TINY)
    assert piece is not None

    total = 0
    for name, one in examples(piece):
        called = json.dumps([name, one["word"], one["speaker"], unit.part]).encode()
        total += int(hashlib.sha256(called + one["log_mel"].tobytes()).hexdigest(), 16)

    assert piece.table.digest == total % MODULUS


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "length", "gone"])
def test_a_piece_that_is_not_whole_is_none(unit: Unit, tmp_path: Path, damage: str) -> None:
    make_piece(unit, TINY, str(tmp_path))
    path = Path(piece_path(str(tmp_path), unit))
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "length":
        path.write_bytes(b"\xff" * 8 + bytes(data[8:]))
    elif damage == "bit":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data[: -1 if damage == "cut" else 0])

    assert read_piece(str(tmp_path), unit, TINY) is None
    if damage != "bit":  # among the features: who reads them finds it
        assert read_table(str(tmp_path), unit, TINY) is None


def test_a_table_that_is_damaged_is_none(unit: Unit, tmp_path: Path) -> None:
    make_piece(unit, TINY, str(tmp_path))
    path = Path(piece_path(str(tmp_path), unit))
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)

    assert read_table(str(tmp_path), unit, TINY) is None
    assert read_piece(str(tmp_path), unit, TINY) is None


def test_names_words_speakers_parts_and_features_all_count_in_a_digest() -> None:
    features = np.ones((2, 3), np.float16)
    digests = {
        example_digest("a", "b", "c", "training", features),
        example_digest("x", "b", "c", "training", features),
        example_digest("a", "x", "c", "training", features),
        example_digest("a", "b", "x", "training", features),
        example_digest("a", "b", "c", "testing", features),
        example_digest("a", "b", "c", "training", features + np.float16(1)),
        example_digest("ab", "", "c", "training", features),
    }

    assert len(digests) == 7


def test_a_key_is_what_the_format_says() -> None:
    expected = int.from_bytes(hashlib.blake2b(b"0/yes/a.wav").digest()[:8], "little") % 2**63

    assert example_key("0/yes/a.wav") == expected

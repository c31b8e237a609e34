"""Against TensorFlow, which writes the files and parses them whole."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.data.tfrecord import integers, scan
from speech_rnn.errors import DataError


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def entry(key: str, values: list[int]) -> bytes:
    """One feature of an example, by protobuf's own rules for map entries."""
    feature: bytes = tf.train.Feature(int64_list=tf.train.Int64List(value=values)).SerializeToString()
    body = b"".join(
        tag + varint(len(content)) + content for tag, content in ((b"\x0a", key.encode()), (b"\x12", feature))
    )
    return b"\x0a" + varint(len(body)) + body


def example(*entries: bytes) -> bytes:
    return b"\x0a" + varint(sum(map(len, entries))) + b"".join(entries)


def write(path: Path, records: list[bytes]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def parsed(path: Path) -> list[int]:
    features: dict[str, Any] = {"label": tf.io.FixedLenFeature([], tf.int64)}
    dataset = tf.data.TFRecordDataset(str(path))
    return [int(tf.io.parse_single_example(record, features)["label"]) for record in dataset]


def samples(n: int) -> list[int]:
    return [int(sample) for sample in np.random.default_rng(n).integers(-9_000, 9_000, n)]


def test_labels_are_found_wherever_they_stand_among_the_features(tmp_path: Path) -> None:
    records = []
    for label, n in [(0, 0), (1, 1), (11, 40), (127, 5_000), (128, 60), (2**40, 16_000)]:
        audio, wanted, more = entry("audio", samples(n)), entry("label", [label]), entry("a", [7])
        records += [example(audio, wanted), example(wanted, audio), example(more, wanted, audio), example(wanted)]
    path = write(tmp_path / "x.tfrecord", records)

    found = [record.value for record in scan(path, "label")]

    assert found == parsed(path)
    assert found[-1] == 2**40


def test_checksums_are_the_crc_of_the_format(tmp_path: Path) -> None:
    record = example(entry("label", [3]))
    path = write(tmp_path / "x.tfrecord", [record, record, example(entry("label", [4]))])

    first, second, third = (record.checksum for record in scan(path, "label"))

    assert first == second == path.read_bytes()[12 + len(record) :][:4]
    assert third != first


@pytest.mark.parametrize("cut", [1, 4, 5, 30, 60])
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / "x.tfrecord", [example(entry("label", [3]), entry("audio", samples(8)))] * 2)
    path.write_bytes(path.read_bytes()[:-cut])

    with pytest.raises(DataError, match=r"x\.tfrecord' is cut short at byte \d+; delete it"):
        list(scan(path, "label"))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x0a",
        b"\x0a\xff\xff\xff",
        b"no protobuf at all",
        example(entry("audio", samples(9))),
        b"\x0a\x02\x0a\x80",
    ],
)
def test_a_record_without_the_label_is_named_by_its_place(tmp_path: Path, record: bytes) -> None:
    path = write(tmp_path / "x.tfrecord", [example(entry("label", [3])), record])

    with pytest.raises(DataError, match=r"no 'label' in its record at byte 34; delete it"):
        list(scan(path, "label"))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_integers_of_a_record_are_those_that_were_written(values: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = example(entry("audio", values), entry("label", [3]))
        path = write(Path(folder) / "a", [example(entry("label", [1])), record])
        starts = [found.start for found in scan(path, "label")]

        assert integers(path, starts[1], "audio").tolist() == values


def test_integers_are_refused_where_there_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [example(entry("label", [1]))])

    with pytest.raises(DataError, match="has no 'audio' in its record at byte 0"):
        integers(path, 0, "audio")
    with pytest.raises(DataError, match="is cut short in its record at byte 5"):
        integers(path, 5, "label")

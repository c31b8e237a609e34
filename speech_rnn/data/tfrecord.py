"""TFRecord files by their edges: a label and the checksum of each record, the samples between left unread.

A record is ``uint64 length, uint32 CRC of it, data, uint32 CRC of the data``
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details); its data is a ``tf.train.Example``
in protobuf's wire format (https://protobuf.dev/programming-guides/encoding). A hundred thousand recordings take nine
gigabytes, and a second to go through this way.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.errors import DataError

_GLANCE = 64  # bytes, more than the start of a map entry with a short key takes
_EXAMPLE_FEATURES = _ENTRY = _KEY = _PACKED = 0x0A  # field 1, length-delimited
_VALUE = 0x12  # field 2, length-delimited
_INT64_LIST = 0x1A  # field 3, length-delimited


class Record(NamedTuple):
    """What the edges of a record tell, and where it is: its file, and the byte at which it begins there."""

    value: int
    checksum: bytes
    path: Path
    start: int


def scan(path: Path, feature: str) -> Iterator[Record]:
    """The records of a file in their order.

    Args:
        path: a TFRecord file of ``tf.train.Example``.
        feature: one that holds an int64 of at least zero in every record.

    Yields:
        The value of the feature, and the masked CRC-32C (4 bytes, as in the file) of the whole record.

    Raises:
        DataError: the file is cut short, or a record isn't such an example.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size, start = os.fstat(descriptor).st_size, 0
        while start < size:
            glance = os.pread(descriptor, 12 + _GLANCE, start)
            length = struct.unpack("<Q", glance[:8])[0] if len(glance) >= 12 else size
            data, end = start + 12, start + 12 + length
            if end + 4 > size:
                raise DataError(f"{str(path)!r} is cut short at byte {size}; delete it and have it made again")
            try:
                value = _value(descriptor, data, end, glance[12:], feature.encode())
            except (IndexError, ValueError):
                raise DataError(f"{str(path)!r} has no {feature!r} in its record at byte {start}; delete it") from None
            yield Record(value, os.pread(descriptor, 4, end), path, start)
            start = end + 4
    finally:
        os.close(descriptor)


def integers(path: Path, start: int, feature: str) -> NDArray[np.int64]:
    """All values of one feature of one record.

    Args:
        path: a TFRecord file of ``tf.train.Example``.
        start: the byte at which the record begins; see :class:`Record`.
        feature: one that holds int64 in every record.

    Returns:
        int64 [values].

    Raises:
        DataError: the file is cut short there, or the record isn't such an example.
    """
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(12)
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
        data = file.read(length) if length <= path.stat().st_size else b""
    if len(head) < 12 or len(data) < length:
        raise DataError(f"{str(path)!r} is cut short in its record at byte {start}; delete it and have it made again")
    try:
        _, at = _length(data, 0, _EXAMPLE_FEATURES)
        while True:
            size, at = _length(data, at, _ENTRY)
            key_size, key = _length(data, at, _KEY)
            if data[key : key + key_size] == feature.encode():
                at = key + key_size
                for tag in (_VALUE, _INT64_LIST):
                    size, at = _length(data, at, tag)
                if size:
                    size, at = _length(data, at, _PACKED)
                return _varints(np.frombuffer(data, np.uint8, size, at))
            at += size
    except (IndexError, ValueError):
        raise DataError(f"{str(path)!r} has no {feature!r} in its record at byte {start}; delete it") from None


def _varints(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """All of a row of base-128 numbers at once; negative ones take ten bytes."""
    if not len(data):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate(([0], ends[:-1] + 1))
    places = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    bits = (data & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts).view(np.int64)


def _value(descriptor: int, start: int, end: int, glance: bytes, feature: bytes) -> int:
    """The feature's value in the example from ``start`` to ``end``, of which ``glance`` holds the first bytes."""
    _, at = _length(glance, 0, _EXAMPLE_FEATURES)
    while start + at < end:
        length, at = _length(glance, at, _ENTRY)
        key_length, key = _length(glance, at, _KEY)
        if glance[key : key + key_length] == feature:
            for tag in (_VALUE, _INT64_LIST, _PACKED):
                _, at = _length(glance, key + key_length if tag == _VALUE else at, tag)
            return _varint(glance, at)[0]
        start += at + length
        glance, at = os.pread(descriptor, _GLANCE, start), 0
    raise ValueError


def _length(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Length of the field that begins at ``at`` and must have this tag, and where its content begins."""
    if data[at] != tag:
        raise ValueError
    return _varint(data, at + 1)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A base-128 number, lowest seven bits first, and where the next field begins."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1

"""Files wherever Apache Beam reads and writes: ``gs://``, ``hdfs://`` and the like as well as local ones."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from speech_rnn import atomic
from speech_rnn.errors import DataError

AT_ONCE = 2**20  # bytes


@dataclass(frozen=True, slots=True)
class FileState:
    """A file, and what changes when it does: its size in bytes and when it was written, in seconds since 1970."""

    path: str
    size: int
    written_s: float


def is_remote(path: str) -> bool:
    """Whether a path names its file system: ``gs://bucket/folder``."""
    return "://" in path


def join(folder: str, name: str) -> str:
    """A path below a folder."""
    return f"{folder.rstrip('/')}/{name}"


def matching(pattern: str) -> list[FileState]:
    """The files that a pattern with ``*`` names, in order; none is no error.

    Raises:
        DataError: the file system is unknown or can't be reached.
    """
    try:
        found = FileSystems.match([pattern])[0].metadata_list
    except (OSError, ValueError) as error:
        raise DataError(f"{pattern!r} can't be looked through ({reason(error)}); check the path") from None
    return sorted(map(_state, found), key=lambda state: state.path)


def _state(found: FileMetadata) -> FileState:
    return FileState(found.path, int(found.size_in_bytes), float(found.last_updated_in_seconds or 0.0))


def state_of(path: str) -> FileState:
    """Size and time of a file; both 0 where it isn't there or can't be asked."""
    if not is_remote(path):
        try:
            status = Path(path).stat()
        except OSError:
            return FileState(path, 0, 0.0)
        return FileState(path, status.st_size, status.st_mtime)
    try:
        # Not by matching, to which * and [ in a name are a pattern.
        found = FileSystems.get_filesystem(path).metadata(path)
    except (OSError, ValueError, BeamIOError):
        return FileState(path, 0, 0.0)
    return _state(found)


def exists(path: str) -> bool:
    """Whether a file is there."""
    return bool(FileSystems.exists(path))


def read_bytes(path: str, size: int = -1) -> bytes:
    """A whole small file, or its first ``size`` bytes.

    Raises:
        OSError: it is not there or can't be read.
    """
    if not is_remote(path):
        with Path(path).open("rb") as file:
            return file.read(size)
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        data: bytes = file.read(size) if size >= 0 else b"".join(iter(lambda: file.read(AT_ONCE), b""))
        return data


def write_bytes(path: str, data: bytes) -> None:
    """Write a file whole or not at all: beside, then renamed."""
    if not is_remote(path):
        atomic.write_bytes(Path(path), data)
        return
    beside = f"{path}-{secrets.token_hex(6)}"
    with FileSystems.create(beside, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(data)
    if FileSystems.exists(path):  # another process was quicker; not every file system renames onto a file
        FileSystems.delete([path])
    FileSystems.rename([beside], [path])


def remove_folder(path: str) -> None:
    """Remove a folder and all in it; none is no error."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif FileSystems.exists(path) or matching(join(path, "*")):
        FileSystems.delete([path if FileSystems.exists(path) else join(path, "*")])


@contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """A file as a local one: itself, or a temporary copy.

    Raises:
        OSError: it can't be read.
    """
    if not is_remote(path):
        yield Path(path)
        return
    with tempfile.NamedTemporaryFile(suffix=PurePosixPath(path).suffix) as copy:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            shutil.copyfileobj(file, copy, AT_ONCE)
        copy.flush()
        yield Path(copy.name)


def content_digest(path: Path) -> str:
    """SHA-256 of a local file's bytes in hexadecimal; empty where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def reason(error: Exception) -> str:
    """Why a file can't be reached, on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]

"""Write beside, then rename: no reader ever sees half a file, and no crash leaves one under its final name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, flush it to the disk and rename it.

    The suffix of ``path`` is kept, for writers that look at it. On an error the temporary file is removed and
    ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    beside = Path(name)
    try:
        beside.chmod(0o666 & ~_umask())
        yield beside
        _flush(beside)
        beside.replace(path)
        _flush(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """The same for a folder: filled beside, renamed when the block ends well.

    Args:
        path: where the folder shall be.
        replace: whether a folder that is there already is replaced; it is moved aside first and removed last, so
            that at any moment one of the two is whole.

    Raises:
        FileExistsError: ``path`` is there already and ``replace`` is not set.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent))
    try:
        beside.chmod(0o777 & ~_umask())
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                _flush(file)
        if path.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-old-", dir=path.parent))
            path.replace(aside)
            beside.replace(path)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            beside.replace(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    with new_file(path) as beside:
        beside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    # Only setting the mask tells what it is.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

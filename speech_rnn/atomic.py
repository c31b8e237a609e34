"""Write beside, then rename: no reader ever sees half a file, and no crash leaves one under its final name."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, flush it to the disk and rename it.

    The suffix of ``path`` is kept, for writers that look at it. On an error the temporary file is removed and
    ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
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
        FileExistsError: ``path`` is there already and ``replace`` is not set, or it is a file.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    beside.mkdir()
    try:
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                _flush(file)
        _rename_folder(beside, path, replace=replace)
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


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes have left beside ``path``.

    Only for one who knows that no other process writes it, and not for a folder that is ever replaced: a kill between
    the two renames leaves both, the old and the new, under such names.
    """
    form = re.compile(rf"\.{re.escape(path.stem[:40])}-[0-9a-f]{{12}}{re.escape(path.suffix)}")
    for left in [found for found in path.parent.glob(".*") if form.fullmatch(found.name)]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _rename_folder(beside: Path, path: Path, *, replace: bool) -> None:
    """Rename onto ``path``, moving aside what is there; once more whenever another process was quicker."""
    while True:
        try:
            beside.replace(path)
            return
        except OSError as error:
            # What a rename onto a file, and onto a folder that isn't empty, gives.
            is_file, is_full = error.errno == errno.ENOTDIR, error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if is_file or (is_full and not replace):
                raise FileExistsError(f"{path} is there already") from None
            if not is_full:
                raise
        aside = _beside(path)
        with suppress(FileNotFoundError):
            path.replace(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    """A hidden name in the same folder that no other process has."""
    return path.with_name(f".{path.stem[:40]}-{secrets.token_hex(6)}{path.suffix}")

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from speech_rnn import atomic

# Kills itself at the first fsync: everything is written, nothing is renamed.
KILLED_AT_FSYNC = """
import os, signal, sys
from pathlib import Path
from speech_rnn import atomic

os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
target = Path(sys.argv[2])
if sys.argv[1] == "file":
    atomic.write_bytes(target, b"new" * 100_000)
else:
    with atomic.new_folder(target, replace=True) as beside:
        (beside / "a").write_text("new")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kill_while_writing(kind: str, target: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED_AT_FSYNC, kind, target], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"

    atomic.write_text(path, "old ü")
    atomic.write_text(path, "new ü")

    assert path.read_bytes() == "new ü".encode()
    assert names(path.parent) == ["a.txt"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")

    with atomic.new_file(path) as beside:
        assert (beside.parent, beside.suffix) == (tmp_path, ".npz")
        beside.write_bytes(b"half of the n")
        assert path.read_bytes() == b"old"
        beside.write_bytes(b"new")

    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("before", [None, b"old"])
def test_an_error_in_the_block_leaves_what_was_there(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "a.npz"
    if before is not None:
        path.write_bytes(before)

    with pytest.raises(KeyError), atomic.new_file(path) as beside:
        beside.write_bytes(b"half")
        raise KeyError

    assert names(tmp_path) == ([] if before is None else ["a.npz"])
    assert before is None or path.read_bytes() == before


def test_what_is_renamed_is_on_the_disk_before_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    events = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        flushed = Path(f"/proc/self/fd/{descriptor}").resolve()
        events.append((flushed.suffix or "folder", path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    atomic.write_text(path, "new")

    assert events == [(".txt", False), ("folder", True)]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_kill_while_a_file_is_written_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "a.npz"
    if before is not None:
        path.write_text(before)

    kill_while_writing("file", path)

    assert (path.read_text() if path.exists() else None) == before
    assert len(names(tmp_path)) == 1 + (before is not None)
    atomic.remove_leftovers(path)
    assert names(tmp_path) == ([] if before is None else ["a.npz"])


@pytest.mark.parametrize("before", [None, "old"])
def test_a_kill_while_a_folder_is_filled_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "model"
    if before is not None:
        path.mkdir()
        (path / "a").write_text(before)

    kill_while_writing("folder", path)

    assert ((path / "a").read_text() if path.exists() else None) == before
    atomic.remove_leftovers(path)
    assert names(tmp_path) == ([] if before is None else ["model"])


def test_leftovers_of_other_files_stay(tmp_path: Path) -> None:
    for name in (".a-0123456789ab.npz", ".a-0123456789ab.txt", ".b-0123456789ab.npz", ".a-b.npz", "a.npz"):
        (tmp_path / name).touch()

    atomic.remove_leftovers(tmp_path / "a.npz")

    assert names(tmp_path) == [".a-0123456789ab.txt", ".a-b.npz", ".b-0123456789ab.npz", "a.npz"]


def test_a_folder_is_filled_beside_and_renamed(tmp_path: Path) -> None:
    path = tmp_path / "models" / "gru.v1"

    with atomic.new_folder(path) as beside:
        (beside / "deep").mkdir()
        (beside / "deep" / "a").write_text("new")
        assert not path.exists()

    assert (path / "deep" / "a").read_text() == "new"
    assert names(path.parent) == ["gru.v1"]


def test_a_folder_that_is_there_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()

    with pytest.raises(FileExistsError, match="is there already"), atomic.new_folder(path):
        pass
    assert names(path) == ["old"]

    with atomic.new_folder(path, replace=True) as beside:
        (beside / "new").touch()
        assert names(path) == ["old"]
    assert names(path) == ["new"]
    assert names(tmp_path) == ["model"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("mine")

    with pytest.raises(FileExistsError, match="is there already"), atomic.new_folder(path, replace=True):
        pass

    assert path.read_text() == "mine"
    assert names(tmp_path) == ["model"]


def test_an_error_while_a_folder_is_filled_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()

    with pytest.raises(KeyError), atomic.new_folder(path, replace=True) as beside:
        (beside / "half").touch()
        raise KeyError

    assert names(path) == ["old"]
    assert names(tmp_path) == ["model"]


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "model"

    with pytest.raises(FileExistsError, match="is there already"), atomic.new_folder(path):
        path.mkdir()
        (path / "other").touch()

    assert names(path) == ["other"]
    assert names(tmp_path) == ["model"]


def write_often(path: Path, letter: str, barrier: Barrier) -> None:
    os.fsync = lambda fd: None  # the disk's pace would keep the two apart
    barrier.wait()
    for _ in range(200):
        atomic.write_text(path / "file", letter * 50_000)
        with atomic.new_folder(path / "folder", replace=True) as beside:
            (beside / "a").write_text(letter)
            (beside / "b").write_text(letter)


def whole_states(path: Path) -> Iterator[set[str]]:
    if (path / "file").exists():
        text = (path / "file").read_text()
        assert len(text) == 50_000
        yield set(text)


def test_two_processes_on_one_name_leave_one_of_the_two_whole(tmp_path: Path) -> None:
    context = get_context("spawn")
    barrier = context.Barrier(2)
    writers = [context.Process(target=write_often, args=(tmp_path, letter, barrier)) for letter in "xy"]
    for writer in writers:
        writer.start()

    while any(writer.is_alive() for writer in writers):
        for letters in whole_states(tmp_path):
            assert letters in ({"x"}, {"y"})
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "folder" / "a").read_text() == (tmp_path / "folder" / "b").read_text()

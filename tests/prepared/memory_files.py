"""Files in this process's memory, which Apache Beam reaches as ``test://``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import FileMetadata, FileSystem

FILES: dict[str, bytes] = {}
OPENED: list[str] = []


class MemoryFileSystem(FileSystem):
    """A file system of Beam; there are no folders but in names."""

    @classmethod
    def scheme(cls) -> str:
        return "test"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        pass

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        return (self.metadata(path) for path in list(FILES) if path.startswith(dir_or_prefix))

    def create(self, path: str, mime_type: str = "", compression_type: str = "") -> Any:
        class Written(io.BytesIO):
            def close(self) -> None:
                FILES[path] = self.getvalue()
                super().close()

        return Written()

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> Any:
        OPENED.append(path)
        if path not in FILES:
            raise FileNotFoundError(2, "No such file or directory", path)
        return io.BytesIO(FILES[path])

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            FILES[destination] = FILES[source]

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            FILES[destination] = FILES.pop(source)

    def exists(self, path: str) -> bool:
        return path in FILES

    def size(self, path: str) -> int:
        return len(FILES[path])

    def last_updated(self, path: str) -> float:
        return 1.0

    def checksum(self, path: str) -> str:
        return str(hash(FILES[path]))

    def metadata(self, path: str) -> FileMetadata:
        if path not in FILES:
            raise FileNotFoundError(2, "No such file or directory", path)
        return FileMetadata(path, len(FILES[path]), self.last_updated(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            FILES.pop(path, None)


def copy_folder(folder: Path, url: str) -> str:
    """A local folder as a remote one."""
    for path in folder.rglob("*"):
        if path.is_file():
            FILES[f"{url}/{path.relative_to(folder)}"] = path.read_bytes()
    return url

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile

import pytest

from speech_rnn.errors import DataError
from speech_rnn.web import vendor

# SHA-256 of the files in npm's @litertjs/core 2.5.3.
ORIGINALS = {
    "core.js": "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
    "loader.js": "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
    "litert.wasm.xz": "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_what_is_kept_is_what_npm_gave(name: str) -> None:
    content = (vendor.FOLDER / name).read_bytes()
    if name.endswith(".xz"):
        content = lzma.decompress(content)

    assert hashlib.sha256(content).hexdigest() == ORIGINALS[name]


def test_every_file_that_is_taken_is_kept_with_its_license() -> None:
    kept = {path.name for path in vendor.FOLDER.iterdir()}

    assert kept == {*vendor.FILES.values(), "LICENSE", "README.md"}
    assert "Apache License" in (vendor.FOLDER / "LICENSE").read_text()
    assert vendor.VERSION in (vendor.FOLDER / "README.md").read_text()


def test_another_package_than_the_pinned_one_is_refused() -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as package:
        member = tarfile.TarInfo("package/dist/index.js")
        member.size = 5
        package.addfile(member, io.BytesIO(b"evil;"))

    with pytest.raises(DataError, match=r"has the digest sha512-.* pinned is sha512-PlGmbMOq9WitX.*don't use"):
        vendor.unpack(content.getvalue())

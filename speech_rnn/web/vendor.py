"""Fetch LiteRT.js from npm into ``speech_rnn/web/litert/``: ``python -m speech_rnn.web.vendor``, in a checkout.

What it writes is kept in the repository, 2.2 MB, so that building and testing a page needs no npm. Of the
four WebAssembly builds only *compat* is taken: it runs in every browser, and a page holds one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import lzma
import tarfile
import urllib.request
from pathlib import Path

from speech_rnn import atomic
from speech_rnn.errors import DataError

VERSION = "2.5.3"
URL = f"https://registry.npmjs.org/@litertjs/core/-/core-{VERSION}.tgz"
# As npm's registry states it for this version: npm view @litertjs/core@2.5.3 dist.integrity
INTEGRITY = "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ=="
FOLDER = Path(__file__).parent / "litert"
# Member of the package -> file here. LICENSE stands beside them: the package names Apache-2.0 and carries no text.
FILES = {
    "package/dist/index.js": "core.js",
    "package/wasm/litert_wasm_compat_internal.js": "loader.js",
    "package/wasm/litert_wasm_compat_internal.wasm": "litert.wasm.xz",
}

_LARGEST = 50_000_000  # bytes


def vendor(folder: Path = FOLDER) -> None:
    """Fetch, check and unpack the package.

    Raises:
        DataError: npm can't be reached, or gives other bytes than the pinned version's.
    """
    try:
        with urllib.request.urlopen(URL, timeout=60) as answer:
            archive = answer.read(_LARGEST)
    except OSError as error:
        raise DataError(f"{URL} can't be fetched ({error}); try again where npm can be reached") from None
    for name, content in unpack(archive).items():
        atomic.write_bytes(folder / name, content)


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an npm package as they are kept here, by name.

    Raises:
        DataError: the package isn't the pinned one.
    """
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if digest != INTEGRITY:
        raise DataError(f"{URL} has the digest {digest[:20]}…, pinned is {INTEGRITY[:20]}…; don't use what came")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        for member, name in FILES.items():
            file = package.extractfile(member)
            assert file is not None  # the digest says so
            content = file.read()
            files[name] = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME) if name.endswith(".xz") else content
    return files


if __name__ == "__main__":
    vendor()

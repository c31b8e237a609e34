"""A headless Chromium that finds no host but this machine, what it asked the network for, and a server for it."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import playwright.sync_api
import pytest
from numpy.typing import NDArray

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed; apt-get install chromium")

# It looks for updates, time and accounts by itself, whatever it is told; so no name resolves. An origin that isn't
# secure has a name of its own.
INSECURE_HOST = "insecure.test"
_FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def browser(*flags: str) -> Iterator[playwright.sync_api.Browser]:
    """A browser with further flags; several may run at once."""
    with _engine() as engine:
        started = engine.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=[*_FLAGS, *flags], timeout=120_000
        )
        try:
            yield started
        finally:
            started.close()


_engines: list[playwright.sync_api.Playwright] = []


@contextmanager
def _engine() -> Iterator[playwright.sync_api.Playwright]:
    """Playwright's process; a thread can have only one."""
    if _engines:
        yield _engines[0]
        return
    with playwright.sync_api.sync_playwright() as engine:
        _engines.append(engine)
        try:
            yield engine
        finally:
            _engines.remove(engine)


def microphone(sound: Path) -> tuple[str, ...]:
    """Flags for a microphone that hears a WAV file once, and is allowed."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}%noloop",
    )


def requests_in(net_log: Path) -> list[str]:
    """What pages asked the network for, by the browser's own log of it (``--log-net-log``), once it has ended."""
    recorded = json.loads(net_log.read_text())
    start = recorded["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [
        event["params"] for event in recorded["events"] if event["type"] == start and "url" in event.get("params", {})
    ]
    # The browser's own requests come from no page: their initiator is "not an origin".
    return [params["url"] for params in asked if params["initiator"] != "not an origin"]


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The folder over http: its address, and what has been asked of it."""
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            del format, args
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def as_base64(samples: NDArray[np.float32]) -> str:
    """Samples as an argument of a page's script, which ``FLOATS`` unpacks."""
    return base64.b64encode(samples.astype("<f4").tobytes()).decode()


FLOATS = "(text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer)"

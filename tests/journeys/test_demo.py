"""The demo from end to end, with an epoch of it: what it leaves, and what it must not touch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "speech_rnn.cli.main", "demo", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


def test_the_demo_leaves_a_page_two_models_and_their_figures(tmp_path: Path) -> None:
    shown = demo("-o", "shown", "--epochs", "1", "--units", "8", "--cache", str(tmp_path / "cache"), cwd=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert "LSTM hears" in shown.stdout
    assert "Synthetic speech" in shown.stdout
    assert "Traceback" not in shown.stderr
    assert "retracing" not in shown.stderr
    figures = json.loads((tmp_path / "shown/demo.json").read_text())
    assert [cell["name"] for cell in figures] == ["LSTM", "GRU"]
    assert all(cell["evaluation"]["synthetic"] for cell in figures)
    page = (tmp_path / "shown/index.html").read_text()
    assert "Synthetic corpus" in page
    assert "speech-rnn demo -o shown --epochs 1 --units 8" in page

    heard = subprocess.run(
        [sys.executable, "-m", "speech_rnn.cli.main", "recognize", "shown/sample.wav", "--model", "shown/models/gru"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert heard.returncode == 0, heard.stderr
    assert "sample.wav" in heard.stdout


def test_the_demo_replaces_no_folder_of_somebody_else(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("mine")

    refused = demo("-o", "site", cwd=tmp_path)

    assert refused.returncode == 1
    assert refused.stderr == "speech-rnn: site holds something else than a demo; give another -o folder\n"
    assert (site / "index.html").read_text() == "mine"

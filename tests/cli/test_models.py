from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from speech_rnn import runtime
from speech_rnn.card import Card, Figure
from speech_rnn.cli.models import command
from tests.tflite_models import write_model


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that ships what a test puts into this folder."""
    monkeypatch.setattr(runtime, "_PACKAGE", tmp_path)
    return tmp_path / "exported"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_table_is_that_of_the_cards(exported: Path) -> None:
    write_model(exported / "gru-12")
    card = Card.read(exported / "gru-12" / "card.json")
    figure = Figure(name="accuracy", value=0.9604, low=0.95, high=0.97, n=1_234, synthetic=True)
    other = figure.model_copy(update={"name": "accuracy_words", "value": 0.5})
    changed = card.model_copy(update={"figures": (other, figure)})
    (exported / "gru-12" / "card.json").write_text(changed.to_json())

    table, markdown = run(), run("--markdown")

    assert "96.0 %" in table
    assert "50.0 %" not in table
    assert str(exported) in table
    head, line, row = markdown.strip().split("\n")
    assert head.count("|") == line.count("|") == row.count("|")
    assert row.startswith("| `gru-12` |")
    assert f"{card.parameters:,}" in row
    assert row.endswith("| 96.0 % | 95.0–97.0 % | 1,234 synthetic clips |")
    assert json.loads(run("--json"))["gru-12"]["name"] == card.name


def test_an_install_without_models_says_how_one_is_made(exported: Path) -> None:
    assert "no model comes with this install; 'speech-rnn export RUN -o DIR' makes one" in run()
    assert not exported.exists()

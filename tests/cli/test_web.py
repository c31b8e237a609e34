from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import speech_rnn
from speech_rnn.cli.web import command
from speech_rnn.errors import ModelError
from speech_rnn.web.listening_page import listening_page
from tests.tflite_models import write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def test_the_page_of_a_model_is_written_where_it_shall_be_and_replaces_what_was_there(
    model: Path, tmp_path: Path
) -> None:
    page = tmp_path / "made" / "listen.html"

    for _ in range(2):
        result = CliRunner().invoke(command, [str(model), "-o", str(page)], catch_exceptions=False)

        assert result.exit_code == 0
        assert result.stdout.startswith(f"{page}: {page.stat().st_size / 1e6:.2f} MB, 3 words.")
        assert page.read_text() == listening_page(speech_rnn.load(model).stream_model)
        assert [path.name for path in page.parent.iterdir()] == ["listen.html"]


def test_a_form_that_the_model_does_not_have_is_said(model: Path, tmp_path: Path) -> None:
    page = tmp_path / "listen.html"

    with pytest.raises(ModelError, match=r"lists no 'stream_int8.tflite'"):
        command.main([str(model), "-o", str(page), "--form", "int8"], standalone_mode=False)
    assert not page.exists()


def test_a_folder_that_is_no_model_leaves_the_page_of_before(tmp_path: Path) -> None:
    page = tmp_path / "listen.html"
    page.write_text("of before")

    with pytest.raises(ModelError, match=r"is neither a folder nor a name"):
        command.main([str(tmp_path / "nowhere"), "-o", str(page)], standalone_mode=False)
    assert page.read_text() == "of before"

from __future__ import annotations

from speech_rnn.card import Figure
from speech_rnn.export.readme import readme
from tests.tflite_models import make_card


def test_labels_are_code_so_that_none_is_taken_for_markup() -> None:
    page = readme(make_card(labels=("<script>alert(1)</script>", "a`b", "**up**"), synthetic=False))

    assert "`<script>alert(1)</script>`, `a'b`, `**up**`." in page
    assert "synthetic" not in page


def test_a_figure_stands_with_its_interval_its_data_and_its_command() -> None:
    figure = Figure(
        name="accuracy",
        value=0.9512,
        low=0.9423,
        high=0.9588,
        n=2_500,
        data="validation part of a|b",
        synthetic=True,
        command="speech-rnn evaluate runs/a",
    )

    page = readme(make_card(figures=(figure,)))

    row = next(line for line in page.splitlines() if line.startswith("| accuracy"))
    assert row == (
        "| accuracy | 0.9512 | 0.9423 to 0.9588 | validation part of a\\|b (synthetic), n = 2,500 "
        "| `speech-rnn evaluate runs/a` |"
    )
    assert "**Trained on synthetic speech, in part or in all.**" in page


def test_a_model_without_figures_has_no_empty_table() -> None:
    assert "| figure |" not in readme(make_card())

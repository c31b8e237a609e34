"""The results that come with this package: beside it in a checkout, in it where it was installed."""

from __future__ import annotations

from pathlib import Path

from speech_rnn.errors import DataError

RESULTS_FILE = "speech-commands.jsonl"
_PACKAGE = Path(__file__).parents[1]


def shipped_results() -> Path:
    """The file of the comparison on Speech Commands.

    Raises:
        DataError: it isn't there.
    """
    places = [_PACKAGE / "lstm-vs-gru"]  # in a wheel
    if (_PACKAGE.parent / "pyproject.toml").is_file():  # in a checkout
        places.append(_PACKAGE.parent / "docs" / "lstm-vs-gru")
    for place in places:
        if (place / RESULTS_FILE).is_file():
            return place / RESULTS_FILE
    raise DataError(
        "no results come with this install; --results FILE takes those that 'speech-rnn compare -o DIR' leaves in "
        "DIR/results.jsonl"
    )

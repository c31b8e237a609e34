from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from speech_rnn.quiet import quiet


def test_what_is_printed_in_any_way_does_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with quiet():
        print("printed")
        print("to stderr", file=sys.stderr)
        os.write(1, b"from C\n")
        os.write(2, b"from C\n")
        logging.getLogger("absl").critical("logged")
        warnings.warn("warned", stacklevel=1)
    print("after")

    assert capfd.readouterr() == ("before\nafter\n", "")


def test_after_an_error_the_terminal_is_back_and_the_error_carries_what_was_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="broken") as caught, quiet():
        os.write(2, b"the reason\n")
        raise ValueError("broken")
    os.write(2, b"after\n")

    assert caught.value.__notes__ == ["the reason"]
    assert capfd.readouterr().err == "after\n"
    assert not logging.root.manager.disable

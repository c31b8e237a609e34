"""Keep what TensorFlow prints, when it is imported and when it converts, off the user's terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Send standard output and standard error of this process into nothing; if the block fails, into its error.

    The converter is C++ and writes to the descriptors, so that exchanging ``sys.stderr`` is not enough. All that the
    process prints meanwhile is gone, other threads' words too: keep the block short.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    disabled = logging.root.manager.disable
    with tempfile.TemporaryFile() as sink:
        words = io.StringIO()
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            logging.disable(logging.CRITICAL)
            with warnings.catch_warnings(), redirect_stdout(words), redirect_stderr(words):
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            sink.seek(0)
            said = (sink.read().decode(errors="replace") + words.getvalue()).strip()
            if said:
                error.add_note(said[-2_000:])
            raise
        finally:
            logging.disable(disabled)
            for descriptor, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)

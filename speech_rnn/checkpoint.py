"""Everything a training needs to go on exactly where it was, as one file that is whole or not there."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic
from speech_rnn.errors import ModelError

# What NumPy's and Python's readers raise, each where a byte of the archive is another: of a name, a length, a version.
DAMAGES = (OSError, ValueError, KeyError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)


class Variable(Protocol):
    """A Keras variable."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def assign(self, value: NDArray[Any]) -> object:
        """Set the value."""


def save(path: Path, variables: Sequence[Variable], state: dict[str, Any]) -> None:
    """Write variables and a JSON state.

    Args:
        path: an ``.npz``, replaced at once or not at all.
        variables: Keras variables in an order that is the same at loading. All of them: ``model.variables`` holds
            the state of dropout's generators, which ``model.weights`` and Keras' own formats leave out.
        state: what else must be known, as JSON has it.
    """
    buffer = io.BytesIO()
    # Positional arrays: Keras numbers the names of a further model's layers anew, so names don't identify them.
    np.savez(
        buffer,
        *map(np.asarray, variables),
        allow_pickle=False,
        state=np.frombuffer(json.dumps(state).encode(), np.uint8),
    )
    atomic.write_bytes(path, buffer.getvalue())


def load(path: Path, variables: Sequence[Variable]) -> dict[str, Any]:
    """Assign what :func:`save` wrote and return the state.

    Raises:
        ModelError: the file is missing, damaged, or of another model.
    """
    state, arrays = read(path)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise ModelError(f"{path} holds the variables of another model; take the folder of the same run")
    for array, variable in zip(arrays, variables, strict=True):
        variable.assign(array)
    return state


def read(path: Path) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """State and arrays of a file that :func:`save` wrote; :class:`ModelError` where it is missing or damaged."""
    try:
        # From memory: NumPy leaves a file open that it finds to be damaged.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            state: dict[str, Any] = json.loads(file["state"].tobytes())
            return state, [file[f"arr_{i}"] for i in range(len(file.files) - 1)]
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; take a folder that speech-rnn train has written") from None
    except DAMAGES as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is damaged ({reason}); train again") from None

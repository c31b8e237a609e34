from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from speech_rnn import checkpoint
from speech_rnn.errors import ModelError


class Variable:
    """Behaves as a Keras variable does."""

    def __init__(self, value: NDArray[Any]) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def assign(self, value: NDArray[Any]) -> None:
        assert value.shape == self.value.shape
        self.value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.value


def like(variables: list[Variable]) -> list[Variable]:
    return [Variable(np.zeros_like(variable.value)) for variable in variables]


arrays = st_numpy.arrays(
    st.sampled_from([np.float32, np.uint32, np.int64, np.float16]), st_numpy.array_shapes(min_dims=0, max_dims=3)
)
states = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    ),
)


@given(values=st.lists(arrays, max_size=4), state=states)
def test_what_is_loaded_is_what_was_saved_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[NDArray[Any]], state: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    variables = [Variable(value) for value in values]
    checkpoint.save(path, variables, state)

    found = like(variables)
    loaded = checkpoint.load(path, found)

    assert loaded == state
    for variable, value in zip(found, values, strict=True):
        assert variable.value.dtype == value.dtype
        assert variable.value.tobytes() == value.tobytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Variable], dict[str, Any]]:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    rng = np.random.default_rng(0)
    variables = [Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((3, 4), (4,), ())]
    state = {"step": 7, "mean": [0.5, -1.25]}
    checkpoint.save(path, variables, state)
    return path.read_bytes(), variables, state


def loads_the_same_or_is_refused(path: Path, content: bytes, variables: list[Variable], state: dict[str, Any]) -> bool:
    path.write_bytes(content)
    found = like(variables)
    try:
        loaded = checkpoint.load(path, found)
    except ModelError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return True
    # A bit that no reader looks at, such as the time of day in the archive.
    assert loaded == state
    assert [a.value.tobytes() for a in found] == [b.value.tobytes() for b in variables]
    return False


def test_a_file_with_a_flipped_bit_is_refused_or_says_the_same(
    tmp_path: Path, whole: tuple[bytes, list[Variable], dict[str, Any]]
) -> None:
    content, variables, state = whole
    rng = np.random.default_rng(0)

    refused = 0
    for place, bit in enumerate(rng.integers(8, size=len(content))):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        refused += loads_the_same_or_is_refused(tmp_path / "checkpoint.npz", bytes(flipped), variables, state)

    assert refused > len(content) / 2


def test_a_cut_file_is_refused(tmp_path: Path, whole: tuple[bytes, list[Variable], dict[str, Any]]) -> None:
    content, variables, state = whole

    for length in {0, 1, 100, len(content) // 2, len(content) - 30, len(content) - 1}:
        assert loads_the_same_or_is_refused(tmp_path / "checkpoint.npz", content[:length], variables, state)


@given(content=st.binary(max_size=300))
@settings(max_examples=200)
def test_any_other_file_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "other.npz"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"is damaged .*; train again"):
        checkpoint.read(path)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    evil = np.array([EndsTheProcess()], dtype=object)
    np.savez(path, allow_pickle=True, arr_0=evil, state=np.frombuffer(b"{}", np.uint8))

    with pytest.raises(ModelError, match="is damaged"):
        checkpoint.read(path)


class EndsTheProcess:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"checkpoint.npz is missing; take a folder that speech-rnn train has written"):
        checkpoint.read(tmp_path / "checkpoint.npz")


@pytest.mark.parametrize("shapes", [[(3, 4)], [(3, 4), (4,), (), ()], [(4, 3), (4,), ()], [(3, 4), (4, 1), ()]])
def test_variables_of_another_model_are_left_as_they_are(
    tmp_path: Path, whole: tuple[bytes, list[Variable], dict[str, Any]], shapes: list[tuple[int, ...]]
) -> None:
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(whole[0])
    others = [Variable(np.ones(shape, np.float32)) for shape in shapes]

    with pytest.raises(ModelError, match="holds the variables of another model"):
        checkpoint.load(path, others)

    assert all((other.value == 1).all() for other in others)

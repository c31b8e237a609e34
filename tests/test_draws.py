from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.draws import generator, generators

KEYS = st.lists(st.integers(min_value=-(2**63), max_value=2**64), max_size=4).map(tuple)


@given(seed=st.integers(0, 2**32 - 1), purpose=st.text(max_size=8), key=KEYS)
def test_same_key_gives_same_draws_whatever_was_drawn_before(seed: int, purpose: str, key: tuple[int, ...]) -> None:
    first = generator(seed, purpose, *key).standard_normal(5)

    generator(seed, "other", *key).standard_normal(3)

    np.testing.assert_array_equal(generator(seed, purpose, *key).standard_normal(5), first)


@given(
    one=st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "1|a", ""]), KEYS),
    other=st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "1|a", ""]), KEYS),
)
def test_different_arguments_give_different_draws(
    one: tuple[int, str, tuple[int, ...]], other: tuple[int, str, tuple[int, ...]]
) -> None:
    draws = [generator(seed, purpose, *key).integers(2**62) for seed, purpose, key in (one, other)]

    assert (draws[0] == draws[1]) == (one == other)


def test_draws_are_those_of_numpys_philox_under_the_hash_of_the_arguments() -> None:
    key = int.from_bytes(hashlib.blake2b(b"1,5,-1|noise", digest_size=16).digest(), "little")

    expected = np.random.Generator(np.random.Philox(key=key)).random(4)

    np.testing.assert_array_equal(generator(1, "noise", 5, -1).random(4), expected)


def test_draws_stay_the_same_from_version_to_version() -> None:
    words = generator(1, "shift", 0, 7).bit_generator.random_raw(2)

    assert words.tolist() == [10946502412528391646, 11596861423871488954]


def test_draws_of_neighbouring_keys_are_uniform_and_uncorrelated() -> None:
    draws = np.array([generator(1, "shift", 0, key).random(2) for key in range(10_000)])

    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.05
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.05


def test_numpy_integers_and_python_integers_are_the_same_key() -> None:
    assert generator(1, "shift", int(np.int64(3))).random() == generator(1, "shift", np.int64(3)).random()  # type: ignore[arg-type]


def test_a_key_that_is_not_an_integer_is_refused() -> None:
    with pytest.raises(TypeError, match="integer"):
        generator(1, "shift", 0.5)  # type: ignore[arg-type]


def test_the_generator_of_a_key_does_not_depend_on_the_draws_before() -> None:
    keys = np.array([3, 0, 2**62, -1, 0, 3])
    draws = []
    for n, rng in enumerate(generators(1, "test", 0, keys)):
        draws.append(rng.random(4))
        rng.integers(10, size=n, dtype=np.uint32)

    assert np.array_equal(draws[:2], draws[:3:-1])
    assert len({draw for four in draws[:4] for draw in four.tolist()}) == 16


def test_the_generators_of_other_seeds_purposes_and_epochs_draw_otherwise() -> None:
    keys = np.arange(20)

    draws = [
        [rng.random() for rng in generators(seed, purpose, epoch, keys)]
        for seed, purpose, epoch in ((1, "shift", 0), (2, "shift", 0), (1, "masks", 0), (1, "shift", 1))
    ]

    assert len({draw for one in draws for draw in one}) == 80


def test_the_draws_of_a_key_are_those_of_philox_at_its_counter() -> None:
    philox = np.random.Philox(key=int.from_bytes(hashlib.blake2b(b"1,5|noise", digest_size=16).digest(), "little"))
    philox.advance(7 * 2**64)

    (rng,) = generators(1, "noise", 5, np.array([7]))

    np.testing.assert_array_equal(rng.random(9), np.random.Generator(philox).random(9))

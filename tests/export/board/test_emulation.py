"""On the kernels of TensorFlow Lite Micro, as a board has them."""

from __future__ import annotations

import builtins
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.audio import fit, read_audio
from speech_rnn.card import Card
from speech_rnn.config import FeatureSettings
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.split import official_part
from speech_rnn.data.store import to_int16
from speech_rnn.errors import ModelError
from speech_rnn.export.board.emulation import CompiledFrontEnd, MicroModel
from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.networks import arrange
from speech_rnn.features import mfcc
from speech_rnn.runtime import shipped_models
from tests.export.conftest import SHAPES, Board, make_card, sounds
from tests.export.runs_in_memory import make_run

Boards = Callable[[str], Board]

N_CLIPS = 200

pytestmark = pytest.mark.skipif(
    find_spec("tflite_micro") is None,
    reason="the package tflite-micro is missing, or has no wheel for this machine; its kernels are a board's",
)


@pytest.mark.parametrize(("cell", "model"), [(cell, "step_int8") for cell in SHAPES] + [("lstm", "clip_int8")])
def test_a_call_gives_what_litert_gives_but_for_the_last_bits(boards: Boards, cell: str, model: str) -> None:
    board = boards(cell)
    on_board, here = MicroModel(board.content(model)), BoardModel(board.content(model))
    assert on_board.inputs == here.inputs

    worst = 0
    for clip in here.inputs[0].quantize(board.network.steps(board.calibration[:20])):
        states = here.zero_states()
        if here.takes_clips:
            worst = max(worst, distance(on_board.run(clip), here.run(clip)))
            continue
        for step in clip:
            there, (scores, *new_states) = (
                on_board.call([step[np.newaxis], *states]),
                here.call([step[np.newaxis], *states]),
            )
            worst = max(worst, distance(there[0], scores))
            states = new_states

    assert worst <= 1


@pytest.mark.parametrize(("cell", "model"), [(cell, "step_int8") for cell in SHAPES] + [("lstm", "clip_int8")])
def test_the_arena_that_is_stated_is_enough_and_not_much_too_large(boards: Boards, cell: str, model: str) -> None:
    board = boards(cell)
    on_board = MicroModel(board.content(model))
    on_board.run(BoardModel(board.content(model)).inputs[0].quantize(board.network.steps(board.calibration[:1])[0]))

    taken, stated = on_board.arena_bytes(), board.graph(model).arena_bound()

    assert taken <= stated <= 1.5 * taken + 2048


@pytest.mark.slow
@pytest.mark.usefixtures("forked_conversions")
@pytest.mark.parametrize(("cell", "units"), [("lstm", 160), ("gru", 128)])
def test_two_layers_take_at_most_32_kilobytes(cell: str, units: int) -> None:
    run = make_run(cell=cell, layers=2, units=units, stack=3, features=FeatureSettings(), labels=tuple("abcdefghijkl"))
    card = make_card(run)
    network = arrange(run.classifier, card, mfcc(sounds(card.features, range(3)), card.features))

    for graph in convert(network).board.values():
        on_board = MicroModel(graph.to_bytes())
        on_board.run(np.zeros((card.n_steps, 120), np.int8))
        assert on_board.arena_bytes() <= graph.arena_bound() <= 32 * 1024


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler 'cc' is found")
@pytest.mark.skipif("gru-12-small" not in shipped_models(), reason="no model is shipped in this checkout")
def test_the_shipped_model_hears_on_a_board_what_it_hears_here(capsys: pytest.CaptureFixture[str]) -> None:
    folder = shipped_models()["gru-12-small"]
    card = Card.read(folder / "card.json")
    content = (folder / "mcu" / "step_int8.tflite").read_bytes()
    here, on_board, front_end = BoardModel(content), MicroModel(content), CompiledFrontEnd(folder / "mcu")
    clips, targets = spoken_clips(card)

    expected, found, worst_of_a_call = [], [], 0
    for clip in clips:
        front_end.start()
        x = front_end.push(clip, here.inputs[0])
        states = here.zero_states()
        for step in x:
            inputs = [step[np.newaxis], *states]
            scores, *states = here.call(inputs)
            worst_of_a_call = max(worst_of_a_call, distance(on_board.call(inputs)[0], scores))
        expected.append(scores[0].astype(int))
        found.append(on_board.run(x)[-1].astype(int))

    labels, on_board_labels = np.argmax(expected, axis=1), np.argmax(found, axis=1)
    off = np.abs(np.subtract(found, expected)).max(axis=1)
    with capsys.disabled():
        print(
            f"\ngru-12-small on a board: arena {on_board.arena_bytes():,} bytes; of {len(clips)} clips "
            f"{(labels == on_board_labels).sum()} the same label as LiteRT, at most {off.max()} LSB apart"
        )
    assert (labels == targets).mean() > 0.9
    assert (labels == on_board_labels).all()
    assert worst_of_a_call <= 2
    assert off.max() <= 2


def test_without_the_package_the_error_names_it(boards: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("tflite_micro"):
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ModelError, match=r"the package tflite-micro is missing, .*; pip install tflite-micro"):
        MicroModel(boards("rnn").content("step_int8"))


def distance(first: NDArray[np.int8], second: NDArray[np.int8]) -> int:
    return int(np.abs(first.astype(int) - second).max())


def spoken_clips(card: Card) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Validation clips of the model's words in 16 bits: recorded ones where there are, else the embedded corpus'."""
    settings = card.features
    beside = Path(__file__).resolve().parents[4] / "shared"
    folder = Path(os.environ.get("SPEECH_RNN_DATA") or beside) / "speech_commands"
    words = [label for label in card.labels if not label.startswith("_")]
    each = N_CLIPS // len(words)
    spoken: list[tuple[str, NDArray[np.float32]]] = []
    if folder.is_dir():
        for word in words:
            files = [file for file in sorted((folder / word).iterdir()) if official_part(file.name) == "validation"]
            spoken += [(word, read_audio(file, settings.sample_rate)) for file in files[:each]]
    else:
        source = CorpusSource()
        for clip, sound in zip(source.clips, source.waveforms(settings.sample_rate), strict=True):
            if clip.part == "validation" and clip.word in words and len(spoken) < N_CLIPS:
                spoken.append((clip.word, sound))
    clips = [to_int16(fit(sound, settings.clip_length)) for _, sound in spoken]
    return np.stack(clips), np.array([card.labels.index(word) for word, _ in spoken])

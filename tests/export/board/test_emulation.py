"""On the kernels of TensorFlow Lite Micro, as a board has them."""

from __future__ import annotations

import builtins
import dataclasses
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.audio import fit, read_audio
from speech_rnn.config import FeatureSettings
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.split import official_part
from speech_rnn.errors import ModelError
from speech_rnn.export.board.conversion import convert
from speech_rnn.export.board.emulation import MicroModel
from speech_rnn.export.board.networks import arrange
from speech_rnn.export.board.running import BoardModel
from speech_rnn.features import mfcc
from speech_rnn.models import build_classifier, recurrent_layers
from speech_rnn.runs import Run
from tests.export.board.conftest import SHAPES, Board, make_card
from tests.export.runs_in_memory import make_run

Boards = Callable[[str], Board]

LABELS = ("yes", "no", "stop")
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

    # The simple layer's state is the tanh itself: one step of its argument is up to four of the state's.
    assert worst <= (6 if cell == "rnn" else 2)


@pytest.mark.parametrize(("cell", "model"), [(cell, "step_int8") for cell in SHAPES] + [("lstm", "clip_int8")])
def test_the_arena_that_is_stated_is_enough_and_not_much_too_large(boards: Boards, cell: str, model: str) -> None:
    board = boards(cell)
    on_board = MicroModel(board.content(model))
    on_board.run(BoardModel(board.content(model)).inputs[0].quantize(board.network.steps(board.calibration[:1])[0]))

    taken, stated = on_board.arena_bytes(), board.graph(model).arena_bound()

    assert taken <= stated <= 1.5 * taken + 2048


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_two_layers_of_128_say_of_real_clips_what_litert_says_in_32_kilobytes(
    cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clips, targets = spoken_clips()
    settings = FeatureSettings()
    frames = mfcc(clips, settings)
    run = fitted_run(cell, frames, targets)
    card = make_card(run)
    network = arrange(run.classifier, card, frames[::4])

    for name, graph in convert(network).items():
        content = graph.to_bytes()
        here, on_board = BoardModel(content), MicroModel(content)
        x = here.inputs[0].quantize(network.steps(frames))
        expected = np.stack([here.run(clip)[-1] for clip in x])
        found = np.stack([on_board.run(clip)[-1] for clip in x])
        arena = on_board.arena_bytes()
        off = np.abs(found.astype(int) - expected).max(axis=1)
        with capsys.disabled():
            print(f"\n{cell} 2x128 {name}: arena {arena:,} bytes; of {len(x)} clips {(off <= 2).sum()} within 2 LSB")
        assert (expected.argmax(axis=1) == targets).mean() > 0.8
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
        assert np.median(off) <= 2
        assert arena <= 32 * 1024


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


def spoken_clips() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Validation clips of three words: recorded ones where there are, else those of the embedded corpus."""
    settings = FeatureSettings()
    beside = Path(__file__).resolve().parents[4] / "shared"
    folder = Path(os.environ.get("SPEECH_RNN_DATA") or beside) / "speech_commands"
    sounds: list[NDArray[np.float32]] = []
    targets: list[int] = []
    if folder.is_dir():
        for target, word in enumerate(LABELS):
            files = [file for file in sorted((folder / word).iterdir()) if official_part(file.name) == "validation"]
            for file in files[: N_CLIPS // len(LABELS) + 1]:
                sounds.append(fit(read_audio(file, settings.sample_rate), settings.clip_length))
                targets.append(target)
    else:
        source = CorpusSource()
        for clip, sound in zip(source.clips, source.waveforms(settings.sample_rate), strict=True):
            if clip.word in LABELS and len(sounds) < N_CLIPS:
                sounds.append(fit(sound, settings.clip_length))
                targets.append(LABELS.index(clip.word))
    return np.stack(sounds)[:N_CLIPS], np.array(targets)[:N_CLIPS]


def fitted_run(cell: str, frames: NDArray[np.float32], targets: NDArray[np.int64]) -> Run:
    """Recurrent layers as they were drawn, with an output fitted by least squares: sure of its labels, in a second."""
    run = make_run(cell=cell, layers=2, units=128, stack=3, features=FeatureSettings(), labels=LABELS)
    n_frames, n_mfcc = frames.shape[1:]
    classifier = build_classifier(
        run.settings.model,
        n_frames,
        n_mfcc,
        len(LABELS),
        mean=frames.mean(axis=(0, 1)),
        variance=frames.var(axis=(0, 1)),
    )
    last = keras.Model(classifier.input, recurrent_layers(classifier)[-1].output)
    hidden = np.asarray(last(frames, training=False), np.float64)
    wanted = np.where(targets[:, np.newaxis] == np.arange(len(LABELS)), 3.0, -3.0)
    extended = np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)
    ridge = 1e-3 * len(hidden) * np.eye(extended.shape[1])
    solution = np.linalg.solve(extended.T @ extended + ridge, extended.T @ wanted)
    classifier.get_layer("logits").set_weights([solution[:-1], solution[-1]])
    return dataclasses.replace(run, classifier=classifier)

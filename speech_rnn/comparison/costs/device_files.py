"""A cell as a phone and a board run it: files of the step, untrained, which cost the same as trained ones.

They are made of the pieces that an export puts together, without the front end, which is the same for all cells.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from speech_rnn import atomic
from speech_rnn.card import Card, TrainingSummary
from speech_rnn.comparison.costs.training_steps import untrained
from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Header
from speech_rnn.errors import ModelError
from speech_rnn.export.assembly import Piece
from speech_rnn.export.board.emulation import MicroModel
from speech_rnn.export.integers.conversion import STEP as BOARD_STEP
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.networks import arrange
from speech_rnn.export.tflite import bare_clip_file, bare_step_file, convert_step, integer_step
from speech_rnn.models import recurrent_layers, state_sizes
from speech_rnn.quiet import quiet
from speech_rnn.settings import Settings

Form = Literal["float32", "int8"]
FORMS: tuple[Form, ...] = get_args(Form)
SIZES = "sizes.json"
CALIBRATION_CLIPS = 4  # of noise: what ranges they give matters neither to speed nor to size


class DeviceSizes(Settings):
    """Bytes; see :class:`speech_rnn.comparison.results.Costs`."""

    file_bytes_float32: int | None
    file_bytes_int8: int | None
    board_bytes: int | None
    arena_bytes: int | None
    state_bytes_float32: int


def device_files(folder: Path, header: Header, contender: Contender) -> DeviceSizes:
    """Make the files of a contender, where they aren't there yet.

    Args:
        folder: of them; there is a whole one or none.
        header: of the comparison.
        contender: which.
    """
    if not (folder / SIZES).exists():
        with atomic.new_folder(folder) as beside:
            sizes = _write(beside, header, contender)
            (beside / SIZES).write_text(sizes.to_json(), encoding="utf-8")
    return DeviceSizes.from_json((folder / SIZES).read_text(encoding="utf-8"))


def step_call(folder: Path, form: Form) -> Callable[[], object] | None:
    """What runs one step of a stream in LiteRT with XNNPACK; ``None`` where there is no file of that form."""
    return _call(folder / f"step_{form}.tflite", OpResolverType.AUTO)


def clip_call(folder: Path, form: Form) -> Callable[[], object] | None:
    """What runs all steps of a clip, one graph, in LiteRT's own kernels; ``None`` where there is no such file.

    Not with XNNPACK, which keeps the weights of each step by themselves: at 128 units that takes 33 MB, and with them
    three times as long.
    """
    return _call(folder / f"clip_{form}.tflite", OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def _call(path: Path, kernels: OpResolverType) -> Callable[[], object] | None:
    if not path.exists():
        return None
    with quiet():  # LiteRT says that it has a delegate
        interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1, experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for one in interpreter.get_input_details():
        # LiteRT never overwrites its inputs, so each call has the same.
        values = np.zeros(one["shape"]) if one["name"].startswith("state_") else rng.normal(size=one["shape"])
        interpreter.set_tensor(one["index"], values.astype(np.float32))
    invoke: Callable[[], object] = interpreter.invoke
    return invoke


def _write(folder: Path, header: Header, contender: Contender) -> DeviceSizes:
    classifier = untrained(header, contender, precision="float32")
    for layer in recurrent_layers(classifier):
        if hasattr(layer, "use_cudnn"):
            layer.use_cudnn = False  # its operators no other machine has
    card = _card(header, contender, classifier)
    pieces: dict[Form, Piece] = {}
    board = None
    with suppress(ModelError):
        pieces["float32"] = convert_step(classifier)
    with suppress(ModelError):
        pieces["int8"], board = _integers(classifier, card)
    sizes = {}
    for form, piece in pieces.items():
        step = bare_step_file(piece)
        (folder / f"step_{form}.tflite").write_bytes(step)
        (folder / f"clip_{form}.tflite").write_bytes(bare_clip_file(card, piece))
        sizes[form] = len(step)
    return DeviceSizes(
        file_bytes_float32=sizes.get("float32"),
        file_bytes_int8=sizes.get("int8"),
        board_bytes=None if board is None else len(board),
        arena_bytes=None if board is None else _arena_bytes(board, card),
        state_bytes_float32=4 * sum(state_sizes(classifier)),
    )


def _card(header: Header, contender: Contender, classifier: keras.Model) -> Card:
    base = header.plan.base
    return Card.make(
        name="untrained",
        labels=header.labels,
        features=base.features,
        model=base.model.changed(cell=contender.cell, units=contender.units, precision="float32"),
        states=tuple(state_sizes(classifier)),
        parameters=contender.parameters,
        macs_per_second=contender.macs_per_second,
        synthetic=True,
        training=TrainingSummary(weights="untrained"),
    )


def _integers(classifier: keras.Model, card: Card) -> tuple[Piece, bytes]:
    """The step for phones, and the file of that for boards."""
    shape = CALIBRATION_CLIPS, card.features.n_frames, card.features.n_mfcc
    network = arrange(classifier, card, np.random.default_rng(0).normal(size=shape).astype(np.float32))
    integers = convert(network)
    return integer_step(network, integers.logits.to_bytes()), integers.board[BOARD_STEP].to_bytes()


def _arena_bytes(board: bytes, card: Card) -> int | None:
    """What TensorFlow Lite for Microcontrollers takes; ``None`` where it isn't there, or has no such kernels."""
    try:
        with quiet():
            model = MicroModel(board)
            model.run(np.zeros((1, card.model.stack * card.features.n_mfcc), np.int8))
            return model.arena_bytes()
    except (ModelError, RuntimeError):
        return None

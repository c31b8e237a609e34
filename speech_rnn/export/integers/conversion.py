"""A classifier's functions -> .tflite models in integers.

A board's step has weights in 8 bits, and 16 between them. In 8, one more or less of the 256 values of a gate's
argument, as kernels of two makers round differently, moves a state by up to 20 of its own and a clip's score by 13; in
16 both say the same, and nearly what the float model says. The step for phones is in 8 bits throughout: its kernels
there use the processor's vectors, and take a thirtieth of the time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_rnn.export.conversion import Conversion, convert_in_child, save_function
from speech_rnn.export.integers.graph import Graph
from speech_rnn.export.integers.loop import clip_of
from speech_rnn.export.integers.networks import Network

STEP = "step_int8"
CLIP = "clip_int8"
SCORE_STEP = 1 / 256  # from 0 to 1, as TFLite has it for an int8 softmax

# What an LSTM's cell is beyond 6 its output doesn't show, tanh(6) is 1 but for 1e-5; finer steps within are worth more.
LARGEST_CELL = 6.0


@dataclass(frozen=True, eq=False)
class IntegerModels:
    """A network's models; new states are quantized as the states that are taken.

    Attributes:
        board: those that a board runs: :data:`STEP`, and :data:`CLIP` for LSTM layers. One step takes ``x`` int8
            [1, stack * n_mfcc] and ``state_0``, ... int16 [1, size], and gives ``scores`` int8 [1, labels] and
            ``new_state_0``, .... The clip takes ``x`` int8 [1, n_steps, stack * n_mfcc], and gives ``scores``.
        logits: one step of any number of streams, all int8, ``logits`` in place of ``scores``.
    """

    board: Mapping[str, Graph]
    logits: Graph


def convert(network: Network) -> IntegerModels:
    """Convert in a child process, and edit what the converter leaves undone.

    Args:
        network: a classifier, arranged for eight bits.

    Raises:
        ModelError: the converter can't express the classifier in integer operators.
    """
    with tempfile.TemporaryDirectory(prefix="speech_rnn_integers_") as name:
        step, logits = (Path(name) / one for one in (STEP, "logits_int8"))
        save_function(network.step, network.variables, step)
        save_function(network.logits, network.variables, logits)
        of_step, of_logits = map(
            Graph,
            convert_in_child(
                Conversion(STEP, step, "int16", network.examples, integer_io=True, row_scales=not network.is_lstm),
                Conversion(logits.name, logits, "int8", _bounded(network), integer_io=True),
            ),
        )
    _finish_step(of_logits, network, "logits")
    _finish_step(of_step, network, "scores")
    of_step.narrow_input("x")
    of_step.narrow_output("scores", SCORE_STEP, -128)
    of_step.drop_what_no_kernel_reads()
    board = {STEP: of_step}
    if network.is_lstm:
        board[CLIP] = clip_of(of_step, network.card.n_steps)
    for graph in board.values():
        graph.add_card(network.card.without_files().to_json())
    return IntegerModels(board, of_logits)


def _bounded(network: Network) -> dict[str, NDArray[np.float32]]:
    """Examples whose cells are bounded: ±20 would leave an int8 steps of 0.16."""
    cells = {f"state_{index}" for index in network.cells}
    return {
        name: np.clip(values, -LARGEST_CELL, LARGEST_CELL) if name in cells else values
        for name, values in network.examples.items()
    }


def _finish_step(graph: Graph, network: Network, output: str) -> None:
    states = [f"state_{i}" for i in range(len(network.card.states))]
    graph.fit_biases()
    graph.set_order(["x", *states], [output, *(f"new_{state}" for state in states)])
    if network.is_arranged:
        graph.set_unit_range(["x", *(state for i, state in enumerate(states) if i not in network.cells)])
        graph.bound_gates()
    for state in states:
        graph.share_scale(f"new_{state}", with_input=state)

"""A classifier's functions -> .tflite models in integers.

A board's step has weights in 8 bits, and 16 between them. In 8, one more or less of the 256 values of a gate's
argument, as kernels of two makers round differently, moves a state by up to 20 of its own and a clip's score by 13; in
16 both say the same, and nearly what the float model says.

The step for phones multiplies matrices in 8 bits, where kernels use the processor's vectors and take a thirtieth of the
time of 16; all else is in float32. It costs no more, and what a cell remembers doesn't bear 8 bits: they lose, at each
step, whatever a state should change by that is less than half of their unit, so that in silence, or in any sound that
stays, it never gets where the float model's does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speech_rnn.export.conversion import Conversion, convert_in_child, save_function
from speech_rnn.export.integers.graph import Graph
from speech_rnn.export.integers.loop import clip_of
from speech_rnn.export.integers.networks import Network

STEP = "step_int8"
CLIP = "clip_int8"
SCORE_STEP = 1 / 256  # from 0 to 1, as TFLite has it for an int8 softmax


@dataclass(frozen=True, eq=False)
class IntegerModels:
    """A network's models; a board's new states are quantized as the states that it takes.

    Attributes:
        board: those that a board runs: :data:`STEP`, and :data:`CLIP` for LSTM layers. One step takes ``x`` int8
            [1, stack * n_mfcc] and ``state_0``, ... int16 [1, size], and gives ``scores`` int8 [1, labels] and
            ``new_state_0``, .... The clip takes ``x`` int8 [1, n_steps, stack * n_mfcc], and gives ``scores``.
        logits: one step of any number of streams, ``logits`` in place of ``scores``; products with weights in int8, and
            all else float32, inputs and outputs too.
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
                Conversion(logits.name, logits, "int8", network.examples, integer_io=True),
            ),
        )
    _finish_step(of_logits, network, "logits")
    of_logits.float_but_products()
    _finish_step(of_step, network, "scores")
    of_step.narrow_input("x")
    of_step.narrow_output("scores", SCORE_STEP, -128)
    of_step.drop_what_no_kernel_reads()
    board = {STEP: of_step}
    if network.is_lstm:
        board[CLIP] = clip_of(of_step, network.card.n_steps)
    for graph in board.values():
        graph.add_card(network.card.to_board_json())
    return IntegerModels(board, of_logits)


def _finish_step(graph: Graph, network: Network, output: str) -> None:
    states = [f"state_{i}" for i in range(len(network.card.states))]
    graph.fit_biases()
    graph.set_order(["x", *states], [output, *(f"new_{state}" for state in states)])
    if network.is_arranged:
        graph.set_unit_range(["x", *(state for i, state in enumerate(states) if i not in network.cells)])
        graph.bound_gates()
    for state in states:
        graph.share_scale(f"new_{state}", with_input=state)

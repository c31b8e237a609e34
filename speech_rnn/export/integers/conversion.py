"""A classifier's functions -> int8 .tflite models."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speech_rnn.export.conversion import Conversion, convert_in_child, save_function
from speech_rnn.export.integers.graph import Graph
from speech_rnn.export.integers.networks import Network

STEP = "step_int8"
CLIP = "clip_int8"


@dataclass(frozen=True, eq=False)
class IntegerModels:
    """A network's models; inputs and outputs are int8, new states quantized as the states that are taken.

    Attributes:
        board: those that a board runs: :data:`STEP`, and :data:`CLIP` for LSTM layers. One step takes ``x``
            [1, stack * n_mfcc] and ``state_0``, ... [1, size], and gives ``scores`` [1, labels] and ``new_state_0``,
            .... The clip takes ``x`` [1, n_steps, stack * n_mfcc], and gives ``scores``.
        logits: one step of any number of streams, ``logits`` in place of ``scores``.
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
        step, logits, clip = (Path(name) / one for one in (STEP, "logits_int8", CLIP))
        save_function(network.step, network.variables, step)
        save_function(network.logits, network.variables, logits)
        wanted = [Conversion(one.name, one, "int8", network.examples, integer_io=True) for one in (step, logits)]
        if network.clip is not None:
            save_function(network.clip, [], clip)
            wanted.append(Conversion(CLIP, clip, "int8", {"x": network.clips}, integer_io=True))
        of_step, of_logits, *of_clip = map(Graph, convert_in_child(*wanted))
    _finish_step(of_step, network, "scores")
    _finish_step(of_logits, network, "logits")
    board = {STEP: of_step}
    for graph in of_clip:
        graph.set_order(["x"], ["scores"])
        graph.remove_cell_clip()
        board[CLIP] = graph
    for graph in board.values():
        graph.add_card(network.card.without_files().to_json())
    return IntegerModels(board, of_logits)


def _finish_step(graph: Graph, network: Network, output: str) -> None:
    states = [f"state_{i}" for i in range(len(network.card.states))]
    graph.set_order(["x", *states], [output, *(f"new_{state}" for state in states)])
    if network.is_arranged:
        graph.set_unit_range(["x", *(state for i, state in enumerate(states) if i not in network.cells)])
        graph.bound_gates()
    for state in states:
        graph.share_scale(f"new_{state}", with_input=state)

"""A classifier's functions -> int8 .tflite files for a board."""

from __future__ import annotations

import tempfile
from pathlib import Path

from speech_rnn.export.board.graph import Graph
from speech_rnn.export.board.networks import Network
from speech_rnn.export.conversion import Conversion, convert_in_child, save_function

STEP = "step_int8"
CLIP = "clip_int8"


def convert(network: Network) -> dict[str, Graph]:
    """Convert in a child process, and edit what the converter leaves undone.

    Args:
        network: a classifier, arranged for eight bits.

    Returns:
        :data:`STEP`, and :data:`CLIP` for LSTM layers -> the model. One step takes ``x`` int8 [1, stack * n_mfcc] and
        ``state_0``, ... int8 [1, size], and gives ``scores`` int8 [1, labels] and ``new_state_0``, ..., quantized as
        the states that it takes. The clip takes ``x`` int8 [1, n_steps, stack * n_mfcc], and gives ``scores``.

    Raises:
        ModelError: the converter can't express the classifier in integer operators.
    """
    with tempfile.TemporaryDirectory(prefix="speech_rnn_board_") as name:
        step, clip = Path(name) / STEP, Path(name) / CLIP
        save_function(network.step, network.variables, step)
        wanted = [Conversion(f"mcu/{STEP}.tflite", step, "int8", network.examples, integer_io=True)]
        if network.clip is not None:
            save_function(network.clip, [], clip)
            wanted.append(Conversion(f"mcu/{CLIP}.tflite", clip, "int8", {"x": network.clips}, integer_io=True))
        contents = convert_in_child(*wanted)
    graphs = {name: Graph(content) for name, content in zip((STEP, CLIP), contents, strict=False)}
    _finish_step(graphs[STEP], network)
    if network.clip is not None:
        graphs[CLIP].set_order(["x"], ["scores"])
        graphs[CLIP].remove_cell_clip()
    for graph in graphs.values():
        graph.add_card(network.card.without_files().to_json())
    return graphs


def convert_logits(network: Network) -> bytes:
    """One step of any number of streams in integers, in a child process.

    Returns:
        A .tflite file: ``x`` int8 [batch, stack * n_mfcc] and ``state_0``, ... int8 [batch, size] -> ``logits`` int8
        [batch, labels] and ``new_state_0``, ..., quantized as the states that it takes.

    Raises:
        ModelError: the converter can't express the classifier in integer operators.
    """
    with tempfile.TemporaryDirectory(prefix="speech_rnn_integers_") as name:
        saved = save_function(network.logits, network.variables, Path(name) / "step")
        what = "the classifier in integers"
        (content,) = convert_in_child(Conversion(what, saved, "int8", network.examples, integer_io=True))
    graph = Graph(content)
    _finish_step(graph, network, "logits")
    return graph.to_bytes()


def _finish_step(graph: Graph, network: Network, output: str = "scores") -> None:
    states = [f"state_{i}" for i in range(len(network.card.states))]
    graph.set_order(["x", *states], [output, *(f"new_{state}" for state in states)])
    if network.is_arranged:
        graph.set_unit_range(["x", *(state for i, state in enumerate(states) if i not in network.cells)])
        graph.bound_gates()
    for state in states:
        graph.share_scale(f"new_{state}", with_input=state)

"""A model on a microcontroller's kernels: the arena it takes, and whether it says what LiteRT says.

    python benchmarks/board.py MODEL [--data SOURCE] [--clips N] [--cache FOLDER] [--json]

MODEL is a folder of speech-rnn export. Validation clips in 16 bits go the whole way of a board: through front_end.c,
compiled, into each model of MODEL/mcu on the kernels of TensorFlow Lite Micro. Beside it the same models by LiteRT,
and clip.tflite, the float model with its own front end. It takes a C compiler and the package tflite-micro.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import speech_rnn
from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.cli.options import default_cache
from speech_rnn.config import RunSettings, TaskSettings
from speech_rnn.data.batches import BatchMaker, PartRows
from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.data.task import JUDGING_SEED, Task
from speech_rnn.export.board.emulation import CompiledFrontEnd, MicroModel
from speech_rnn.export.board.running import BoardModel
from speech_rnn.preparation import prepare
from speech_rnn.runtime import Recognizer

BAR_LSB = 2
BAR_ARENA = 32 * 1024


def validation_clips(
    recognizer: Recognizer, source: str, cache: Path, n: int
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """int16 [clips, clip_length] and the indices of their labels, evenly from the validation part."""
    card = recognizer.card
    words = tuple(label for label in card.labels if label not in (SILENCE, UNKNOWN))
    settings = RunSettings(features=card.features, model=card.model, task=TaskSettings(labels=words))
    store = prepare([source], settings, cache).store
    task = Task.to_judge(card.labels, settings.task, store.clips)
    items = task.items("validation", 0, JUDGING_SEED)
    chosen = np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).astype(np.int64))
    rows = PartRows(BatchMaker(store, task, settings), items, "validation")
    return rows.read(chosen).astype(np.int16), items.label[chosen]


def of_clips(front_end: CompiledFrontEnd, model: BoardModel, clips: NDArray[np.int16]) -> NDArray[np.int8]:
    """int8 [clips, n_steps, stack * n_mfcc], as front_end.c gives them."""
    steps = []
    for clip in clips:
        front_end.start()
        steps.append(front_end.push(clip, model.inputs[0]))
    return np.stack(steps)


def measure(folder: Path, clips: NDArray[np.int16], targets: NDArray[np.int64], floats: NDArray[np.float32]) -> Any:
    """Figures of each model in ``mcu/``."""
    front_end, figures = CompiledFrontEnd(folder / "mcu"), {}
    for path in sorted((folder / "mcu").glob("*.tflite")):
        here, on_board = BoardModel(path.read_bytes()), MicroModel(path.read_bytes())
        x = of_clips(front_end, here, clips)
        expected = np.stack([here.run(clip)[-1] for clip in x])
        start = time.process_time()
        found = np.stack([on_board.run(clip)[-1] for clip in x])
        seconds = time.process_time() - start
        off = np.abs(found.astype(int) - expected).max(axis=1)
        scores = (found.astype(np.float32) + 128) / 256
        figures[path.name] = {
            "bytes": path.stat().st_size,
            "arena_bytes": on_board.arena_bytes(),
            "same_label_as_litert": int((found.argmax(axis=1) == expected.argmax(axis=1)).sum()),
            "within_2_lsb": int((off <= BAR_LSB).sum()),
            "largest_lsb": int(off.max()),
            "largest_lsb_of_a_call": largest_of_a_call(here, on_board, x),
            "same_label_as_float": int((found.argmax(axis=1) == floats.argmax(axis=1)).sum()),
            "mean_difference_from_float": float(np.abs(scores - floats).max(axis=1).mean()),
            "accuracy": float((found.argmax(axis=1) == targets).mean()),
            "ms_a_clip_here": 1_000 * seconds / len(clips),
        }
    return {
        "clips": len(clips),
        "accuracy_float": float((floats.argmax(axis=1) == targets).mean()),
        "front_end_bytes": front_end.n_bytes,
        "front_end_us_a_step": front_end_us(front_end, clips),
        "models": figures,
    }


def largest_of_a_call(here: BoardModel, on_board: MicroModel, x: NDArray[np.int8]) -> int:
    """The largest difference of a score where both are given the same, states too, so that nothing adds up."""
    if here.takes_clips:
        return max(int(np.abs(on_board.run(clip).astype(int) - here.run(clip)).max()) for clip in x)
    largest = 0
    for clip in x:
        states = here.zero_states()
        for step in clip:
            inputs = [step[np.newaxis], *states]
            scores, *states = here.call(inputs)
            largest = max(largest, int(np.abs(on_board.call(inputs)[0].astype(int) - scores).max()))
    return largest


def front_end_us(front_end: CompiledFrontEnd, clips: NDArray[np.int16]) -> float:
    """Microseconds of this machine for a step of frames, the way through ctypes included."""
    start, steps = time.process_time(), 0
    for clip in clips[:50]:
        front_end.start()
        steps += len(front_end.push(clip))
    return 1e6 * (time.process_time() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder of speech-rnn export")
    parser.add_argument("--data", default="corpus", help="recordings: a folder, or corpus")
    parser.add_argument("--clips", type=int, default=200, help="so many of the validation part")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of decoded clips")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    recognizer = speech_rnn.load(arguments.model)
    clips, targets = validation_clips(recognizer, arguments.data, arguments.cache, arguments.clips)
    floats = np.stack([recognizer.scores(clip / np.float32(FULL_SCALE_INT16)) for clip in clips])
    result = measure(arguments.model, clips, targets, floats)
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    n = result["clips"]
    print(f"{n} validation clips; the float model is right on {result['accuracy_float']:.1%}")
    print(f"front_end.c: {result['front_end_bytes']:,} bytes, {result['front_end_us_a_step']:.0f} µs a step here")
    for name, one in result["models"].items():
        print(f"{name}, {one['bytes']:,} bytes")
        print(f"  arena                      {one['arena_bytes']:>9,} bytes   at most {BAR_ARENA:,} for 2 x 128")
        print(f"  same label as LiteRT       {one['same_label_as_litert']:>9} clips   {n}")
        print(f"  a call off LiteRT          {one['largest_lsb_of_a_call']:>9} LSB     at most {BAR_LSB}")
        print(f"  a clip within {BAR_LSB} LSB        {one['within_2_lsb']:>9} clips   largest {one['largest_lsb']} LSB")
        print(f"  same label as float model  {one['same_label_as_float']:>9} clips")
        print(f"  right                      {one['accuracy']:>9.1%}")


if __name__ == "__main__":
    main()

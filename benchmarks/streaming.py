"""What a stream costs: a step, a thousand streams, a day.

    python benchmarks/streaming.py step    20 ms of sound in, against what one does today
    python benchmarks/streaming.py many [--model NAME|DIR]    1,000 streams on one model, an hour of sound in all
    python benchmarks/streaming.py day [--model NAME|DIR] [--hours 24]    one stream: memory, clock, state

``step``: GRU and LSTM, 2 x 128 units, untrained, which cost the same as trained ones; one thread. Today's way is
librosa's MFCC of the last second and a Keras model converted to TFLite, every 20 ms. The best of many rounds counts,
since a shared machine slows each at some time. ``many`` and ``day`` take the shipped model, where none is named; what
is said in ``many`` are words of the embedded corpus, synthetic.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import gc
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

import speech_rnn
from speech_rnn.config import DetectorConfig, FeatureSettings, ModelSettings
from speech_rnn.runtime import DEFAULT_MODEL

FEATURES = FeatureSettings(hop_length=320)  # a frame, and a step, every 20 ms
ROUNDS = 300


def best_us(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * min(times)


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def step() -> dict[str, float]:
    """Microseconds of a step in each form, and of today's way."""
    import librosa
    import tensorflow as tf

    from speech_rnn.card import Card, TrainingSummary
    from speech_rnn.export.integers.conversion import convert
    from speech_rnn.export.integers.networks import arrange
    from speech_rnn.export.tflite import convert_front_end, convert_step, integer_step, stream_file
    from speech_rnn.features import mfcc
    from speech_rnn.models import build_classifier, state_sizes

    second = np.random.default_rng(0).normal(0, 0.1, FEATURES.clip_length).astype(np.float32)
    figures: dict[str, float] = {}
    for cell in ("gru", "lstm"):
        settings = ModelSettings(cell=cell, units=128, layers=2, stack=1)
        classifier = build_classifier(settings, FEATURES.n_frames, FEATURES.n_mfcc, 12)
        card = Card.make(
            name="untrained",
            labels=tuple("abcdefghijkl"),
            features=FEATURES,
            model=settings,
            states=tuple(state_sizes(classifier)),
            parameters=1,
            macs_per_second=1.0,
            synthetic=False,
            training=TrainingSummary(weights="untrained"),
        )
        front_end = convert_front_end(card)
        for form in ("float32", "dynamic", "int8"):
            if form == "int8":
                network = arrange(classifier, card, mfcc(second[np.newaxis], FEATURES))
                piece = integer_step(network, convert(network).logits.to_bytes())
            else:
                piece = convert_step(classifier, "dynamic" if form == "dynamic" else "float32")
            figures[f"{cell} {form}"] = best_us(_one_step(stream_file(card, front_end, piece), card), 10 * ROUNDS)

        def clip_function(frames: tf.Tensor, classifier: Any = classifier) -> tf.Tensor:
            return tf.nn.softmax(classifier(frames, training=False))

        shape = tf.TensorSpec([1, FEATURES.n_frames, FEATURES.n_mfcc])
        function = tf.function(clip_function, input_signature=[shape]).get_concrete_function()
        interpreter = Interpreter(
            model_content=tf.lite.TFLiteConverter.from_concrete_functions([function]).convert(), num_threads=1
        )
        interpreter.allocate_tensors()
        where, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def today(interpreter: Any = interpreter, where: int = where, answer: int = answer) -> NDArray[np.float32]:
            power = librosa.feature.melspectrogram(
                y=second, sr=16_000, n_fft=512, win_length=480, hop_length=320, center=False, n_mels=40
            )
            frames = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=40).T
            interpreter.set_tensor(where, np.ascontiguousarray(frames[np.newaxis], np.float32))
            interpreter.invoke()
            scores: NDArray[np.float32] = interpreter.get_tensor(answer)
            return scores

        figures[f"{cell} today"] = best_us(today)
    return figures


def _one_step(content: bytes, card: Any) -> Callable[[], None]:
    """20 ms in, scores out, states fed back, as an app does it: no delegate is left out, no call is batched."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    inputs = {one["name"]: one["index"] for one in interpreter.get_input_details()}
    outputs = {one["name"]: one["index"] for one in interpreter.get_output_details()}
    states = [(inputs[name], outputs[f"new_{name}"]) for name in inputs if name != "samples"]
    samples = np.zeros((1, card.step_length), np.float32)

    def run() -> None:
        interpreter.set_tensor(inputs["samples"], samples)
        interpreter.invoke()
        interpreter.get_tensor(outputs["scores"])
        for into, out in states:
            interpreter.set_tensor(into, interpreter.get_tensor(out))

    return run


def many(model: str) -> dict[str, float]:
    """A thousand streams, 3.6 s each."""
    recognizer = speech_rnn.load(model)
    sounds = _spoken(1_000, 57_600)
    loose = DetectorConfig(threshold=0.5, smoothing_s=0.2, refractory_s=0.5)
    recognizer.stream().accept(sounds[0], 16_000)
    gc.collect()
    before = rss_mb()
    streams = [recognizer.stream(loose) for _ in sounds]
    chunk = 16_000 // 10
    start = time.perf_counter()
    heard: list[list[speech_rnn.Detection]] = [[] for _ in streams]
    for at in range(0, sounds.shape[1], chunk):
        for mine, new in zip(
            heard, speech_rnn.accept_all(streams, list(sounds[:, at : at + chunk]), 16_000), strict=True
        ):
            mine += new
    seconds = time.perf_counter() - start
    gc.collect()
    memory_kb = 1_000 * (rss_mb() - before) / len(streams)
    different = 0
    for sound, mine in zip(sounds, heard, strict=True):
        solo = recognizer.stream(loose).accept(sound, 16_000)
        different += [(one.label, one.time) for one in solo] != [(one.label, one.time) for one in mine]
    return {
        "streams": len(streams),
        "hours of sound": round(sounds.size / 16_000 / 3_600, 2),
        "detections": sum(map(len, heard)),
        "streams that differ from their solo run": different,
        "memory a stream, kB": round(memory_kb, 1),
        "streams a core in real time": round(sounds.size / 16_000 / seconds),
    }


def _spoken(n: int, length: int) -> NDArray[np.float32]:
    """Three words of the corpus each in noise of some level."""
    from itertools import islice

    from speech_rnn.audio import fit
    from speech_rnn.data.corpus import CorpusSource

    rng = np.random.default_rng(0)
    words = [fit(one, 16_000) for one in islice(CorpusSource().waveforms(16_000), 0, None, 10)]
    sounds = rng.normal(0, 1, (n, length)).astype(np.float32) * rng.uniform(0.0003, 0.02, (n, 1)).astype(np.float32)
    for sound in sounds:
        for word in range(3):
            start = word * length // 3 + int(rng.integers(0, length // 3 - 16_000))
            sound[start : start + 16_000] += words[rng.integers(len(words))]
    return sounds


def day(model: str, hours: float) -> dict[str, float]:
    """One stream without end: noise and silence in turn, chunks of all sizes."""
    recognizer = speech_rnn.load(model)
    stream = recognizer.stream()
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 16_000 * 60).astype(np.float32)
    taken, last, finite = 0, 0.0, True
    # A chunk is up to a minute long; by then the longest have come.
    after_an_hour = 0.0
    start = time.perf_counter()
    while taken < hours * 3_600 * 16_000:
        length = int(rng.integers(1, len(noise)))
        times, scores = stream.accept_scores(noise[:length] * np.float32(rng.choice([0.0, 1e-4, 1.0])), 16_000)
        taken += length
        if len(times):
            finite, last = finite and bool(np.isfinite(scores).all()), float(times[-1])
        if not after_an_hour and taken > 3_600 * 16_000:
            gc.collect()
            after_an_hour = rss_mb()
    gc.collect()
    return {
        "hours": hours,
        "seconds it took": round(time.perf_counter() - start, 1),
        "memory after an hour, MB": round(after_an_hour or rss_mb(), 1),
        "memory at the end, MB": round(rss_mb(), 1),
        "clock against samples taken, s": round(abs(stream.time - taken / 16_000), 9),
        "last score before the end of the sound, s": round(taken / 16_000 - last, 3),
        "scores finite": float(finite),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["step", "many", "day"])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model's name, or a folder")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.what == "step":
        figures = step()
    else:
        figures = many(arguments.model) if arguments.what == "many" else day(arguments.model, arguments.hours)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        if arguments.what != "step":
            print(f"{name:<44}{value:>12,}")
        elif name.endswith("today"):
            print(f"{name:<16}{value:10.1f} µs")
        else:
            times = figures[f"{name.split()[0]} today"] / value
            print(f"{name:<16}{value:10.1f} µs   {times:6.0f} times cheaper than today's way (bar: 50)")


if __name__ == "__main__":
    main()

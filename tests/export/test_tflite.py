from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from speech_rnn.card import Card, TrainingSummary
from speech_rnn.config import DetectorConfig, ModelSettings
from speech_rnn.errors import ModelError
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.networks import arrange
from speech_rnn.export.probes import keras_scores
from speech_rnn.export.tflite import (
    bare_clip_file,
    bare_step_file,
    clip_file,
    convert_front_end,
    convert_step,
    integer_step,
    stream_file,
)
from speech_rnn.models import CELLS, recurrent_layers, state_sizes
from speech_rnn.runtime import Recognizer
from speech_rnn.stream_model import StreamModel
from speech_rnn.streaming import Stream
from tests.export.runs_in_memory import FEATURES, LABELS, calibration, make_run

pytestmark = pytest.mark.usefixtures("forked_conversions")


class InverseErrorCell(keras.layers.SimpleRNNCell):
    """A cell with an operator that TFLite doesn't have."""

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        output, states = super().call(inputs, states, training=training)
        output = keras.ops.erfinv(0.9 * output)
        return output, [output]


@pytest.fixture
def inverse() -> Iterator[None]:
    CELLS["inverse"] = lambda units, **options: keras.layers.RNN(InverseErrorCell(units), **options)
    yield
    del CELLS["inverse"]


@pytest.mark.usefixtures("inverse")
def test_a_cell_that_tflite_has_no_operators_for_is_refused_on_one_line_and_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    classifier = make_run(cell="inverse").classifier

    with pytest.raises(
        ModelError, match=r"'inverse_classifier' can't be converted to TFLite \(.*take a cell"
    ) as caught:
        convert_step(classifier)

    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_files_without_front_end_say_of_features_what_keras_says(cell: str) -> None:
    classifier = make_run(cell=cell).classifier
    card, step = card_of(classifier, cell, 1), convert_step(classifier)
    frames = calibration()[:1]
    expected = keras.ops.softmax(classifier(frames))
    stack = card.model.stack
    steps = [frames[:, i * stack : (i + 1) * stack] for i in range(card.n_steps)]

    of_step = Interpreter(model_content=bare_step_file(step)).get_signature_runner("step")
    states = {f"state_{i}": np.zeros((1, size), np.float32) for i, size in enumerate(card.states)}
    for one in steps:
        found = of_step(frames=one, **states)
        states = {name: found[f"new_{name}"] for name in states}
    of_clip = Interpreter(model_content=bare_clip_file(card, step)).get_signature_runner("serving_default")
    scores = of_clip(**{f"frames_{i}": one for i, one in enumerate(steps)})["scores"]

    np.testing.assert_allclose(found["scores"], expected, atol=1e-5)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_clip_and_stream_of_every_cell_say_what_librosa_and_keras_say_whatever_the_chunks(
    cell: str, layers: int
) -> None:
    classifier = make_run(cell=cell, layers=layers).classifier
    card = card_of(classifier, cell, layers)
    front_end, step = convert_front_end(card), convert_step(classifier)
    samples = np.random.default_rng(layers).normal(0, 0.1, 2 * FEATURES.clip_length).astype(np.float32)

    stream_model = StreamModel(card, stream_file(card, front_end, step))
    recognizer = Recognizer(card, clip_file(card, front_end, step), stream_model)

    starts = range(0, len(samples) - card.heard_length + 1, 2 * card.step_length)
    padded = np.pad(samples, (0, FEATURES.clip_length))
    clips = np.stack([padded[start : start + FEATURES.clip_length] for start in starts])
    expected = keras_scores(classifier, FEATURES, clips)
    np.testing.assert_allclose([recognizer.scores(clip) for clip in clips], expected, atol=1e-4)
    config = DetectorConfig(interval_s=2 * card.step_length / FEATURES.sample_rate)
    for length in (1, 7, 160, 999, len(samples)):
        stream = recognizer.stream(config)
        scores = [
            stream.accept_scores(samples[at : at + length], FEATURES.sample_rate)[1]
            for at in range(0, len(samples), length)
        ]
        np.testing.assert_allclose(np.concatenate(scores), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("hop_length", "stack", "clip_length"),
    [(256, 1, 1_024), (256, 2, 2_000), (100, 5, 1_800), (1, 1, 260), (37, 3, 999)],
)
def test_frames_that_do_not_overlap_or_nearly_do_stream_too(hop_length: int, stack: int, clip_length: int) -> None:
    features = FEATURES.changed(hop_length=hop_length, clip_length=clip_length)
    classifier = make_run(features=features, stack=stack).classifier
    card = card_of(classifier, "gru", 1, features=features, stack=stack)
    clips = np.random.default_rng(0).normal(0, 0.1, (2, clip_length)).astype(np.float32)

    model = StreamModel(card, stream_file(card, convert_front_end(card), convert_step(classifier)))

    expected = keras_scores(classifier, features, clips)
    for clip, scores in zip(clips, expected, strict=True):
        streamed = Stream(model, DetectorConfig(interval_s=60.0)).accept_scores(clip, features.sample_rate)[1]
        np.testing.assert_allclose(streamed, [scores], atol=1e-4)


@pytest.mark.parametrize(("cell", "odds"), [("lstm", (1 / 15, 63)), ("gru", (255,))])
def test_in_integers_too_a_slow_state_gets_where_seconds_of_silence_lead_it(cell: str, odds: Sequence[float]) -> None:
    features = FEATURES.changed(clip_length=4 * FEATURES.sample_rate)
    classifier = make_run(cell=cell, features=features).classifier
    make_slow(classifier, odds)
    card = card_of(classifier, cell, 1, features=features)
    network = arrange(classifier, card, calibration(features))
    silence = np.zeros((1, features.clip_length), np.float32)

    step = integer_step(network, convert(network).logits.to_bytes())
    model = StreamModel(card, stream_file(card, convert_front_end(card), step))

    expected = keras_scores(classifier, features, silence)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(model.clip_scores(silence), expected, atol=0.05)


def make_slow(classifier: keras.Model, odds: Sequence[float]) -> None:
    """Let the first gates be open to shut by fixed odds, whatever is heard; and let labels differ."""
    (layer,) = recurrent_layers(classifier)
    kernel, recurrent, bias = layer.get_weights()
    for gate, open_to_shut in enumerate(odds):
        columns = slice(gate * len(recurrent), (gate + 1) * len(recurrent))
        kernel[:, columns] *= 0.01
        recurrent[:, columns] *= 0.01
        bias[..., columns] = np.log(open_to_shut) / bias.ndim  # a GRU adds two
    layer.set_weights([kernel, recurrent, bias])
    logits = classifier.get_layer("logits")
    logits.set_weights([5 * weight for weight in logits.get_weights()])


def test_the_same_model_gives_the_same_bytes() -> None:
    classifier = make_run().classifier
    card = card_of(classifier, "gru", 1)

    first, second = (
        [make(card, convert_front_end(card), convert_step(classifier)) for make in (clip_file, stream_file)]
        for _ in range(2)
    )

    assert first == second


def test_each_weight_is_in_a_file_once() -> None:
    classifier = make_run(units=64).classifier
    card = card_of(classifier, "gru", 1, units=64)
    front_end, step = convert_front_end(card), convert_step(classifier)
    weights = 4 * sum(int(np.prod(weight.shape)) for weight in classifier.trainable_weights)

    clip, stream = clip_file(card, front_end, step), stream_file(card, front_end, step)

    for layer in recurrent_layers(classifier):
        for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel):
            content = np.asarray(kernel).T.astype("<f4").tobytes()
            assert clip.count(content) == stream.count(content) == 1
    assert weights < len(stream) < weights + 80_000


def card_of(classifier: keras.Model, cell: str, layers: int, **changed: Any) -> Card:
    features = changed.pop("features", FEATURES)
    return Card.make(
        name="in-memory",
        labels=LABELS,
        features=features,
        model=ModelSettings(**{"cell": cell, "layers": layers, "units": 8, "stack": 2, **changed}),
        states=tuple(state_sizes(classifier)),
        parameters=1,
        macs_per_second=1.0,
        synthetic=True,
        training=TrainingSummary(weights="untrained"),
    )

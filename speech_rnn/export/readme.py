"""The page that lies beside a model's files: what it takes, what it gives, how to call it."""

from __future__ import annotations

from speech_rnn.card import Card, Figure

_PAGE = """\
# {name}

Tells {n_labels} labels apart in {clip_s:g} s of sound: {labels}.{synthetic}

| it takes | |
|---|---|
| `waveform` | float32 [1, {clip_length}]: mono, {sample_rate:,} Hz, full scale ±1 (16-bit samples / 32768) |
| shorter sound | zeros on both sides, the odd one at the end |
| longer sound | its middle |

| it gives | |
|---|---|
| `scores` | float32 [1, {n_labels}]: 0 to 1, their sum is 1, in the order of `labels.txt` |

The {cell} classifier has {parameters:,} parameters; a second of sound takes it {macs:,.1f} million
multiply-accumulates. The front end ({n_mfcc} MFCC of {n_mels} mel bands, {f_min:g} to {f_max:g} Hz) is inside.
{figures}
## The files

| file | what it is |
|---|---|
| `clip.tflite` | a clip in, scores out; one graph, with the metadata that MediaPipe's AudioClassifier reads |
| `stream.tflite` | {step_ms:g} ms of sound and the states in, scores and new states out |
{other_files}| `card.json`, `labels.txt` | settings, figures, how near each file is to Keras, SHA-256; the labels |

{compact}A stream file's signature `stream` takes, in this order:

| input | float32 | begins as | then |
|---|---|---|---|
| `samples` | [1, {step_length}] | the samples after those of `kept` | the next {step_length} |
{kept_row}{state_rows}
and gives `scores` [1, {n_labels}] and what the inputs of the same names take next: {new_names}. The scores are of all
sound since the states were zeros: after {n_steps} steps they are those of the clip that began there.

## With speech_rnn

```python
import soundfile
import speech_rnn

recognizer = speech_rnn.load("{name}")  # the path of this folder
samples, rate = soundfile.read("speech.wav")
prediction = recognizer.predict(samples, rate)  # any rate, channels and length
print(prediction.label, prediction.score)
```

```python
import soundfile
import speech_rnn

stream = speech_rnn.load("{name}").stream()  # any number of them may run at once
samples, rate = soundfile.read("speech.wav")
for start in range(0, len(samples), 1_600):  # as a microphone gives them
    for detection in stream.accept(samples[start : start + 1_600], rate):
        print(detection.label, detection.score, detection.time)
```

## With LiteRT alone

```python
from pathlib import Path

import numpy as np
import soundfile
from ai_edge_litert.interpreter import Interpreter

samples, rate = soundfile.read("speech.wav", dtype="float32")  # mono, {sample_rate} Hz
clip = np.zeros((1, {clip_length}), np.float32)
clip[0, : len(samples)] = samples[:{clip_length}]
labels = Path("{name}/labels.txt").read_text(encoding="utf-8").splitlines()
model = Interpreter("{name}/clip.tflite").get_signature_runner("serving_default")
scores = model(waveform=clip)["scores"][0]
print(labels[scores.argmax()], scores.max())
```

```python
import numpy as np
import soundfile
from ai_edge_litert.interpreter import Interpreter

samples, rate = soundfile.read("speech.wav", dtype="float32")  # mono, {sample_rate} Hz
stream = Interpreter("{name}/stream.tflite").get_signature_runner("stream")
state = {{{python_state}}}
for step in range({n_steps}):
    start = {kept_length} + step * {step_length}
    found = stream(samples=samples[np.newaxis, start : start + {step_length}], **state)
    state = {{name: found[f"new_{{name}}"] for name in state}}
print(found["scores"].argmax())
```

One interpreter a thread: shared by two, it gives wrong answers and no error.

## C++

```cpp
#include "tensorflow/lite/interpreter_builder.h"
#include "tensorflow/lite/kernels/register.h"

auto model = tflite::FlatBufferModel::BuildFromFile("stream.tflite");
tflite::ops::builtin::BuiltinOpResolver resolver;
std::unique_ptr<tflite::Interpreter> interpreter;
tflite::InterpreterBuilder(*model, resolver)(&interpreter);
tflite::SignatureRunner* stream = interpreter->GetSignatureRunner("stream");
stream->AllocateTensors();
for (const char* name : {{{quoted_states}}}) {{
  TfLiteTensor* state = stream->input_tensor(name);
  std::memset(state->data.raw, 0, state->bytes);
}}
while (const float* samples = next_samples({step_length})) {{  // yours: the next {step_length}
  std::memcpy(stream->input_tensor("samples")->data.raw, samples, {step_length} * sizeof(float));
  stream->Invoke();
  const float* scores = stream->output_tensor("scores")->data.f;  // {n_labels}
  use(scores);  // yours
  for (const std::string name : {{{quoted_states}}}) {{
    TfLiteTensor* state = stream->input_tensor(name.c_str());
    std::memcpy(state->data.raw, stream->output_tensor(("new_" + name).c_str())->data.raw, state->bytes);
  }}
}}
```

## Kotlin (Android, `com.google.ai.edge.litert:litert`)

```kotlin
import org.tensorflow.lite.Interpreter

val interpreter = Interpreter(File("stream.tflite"))
var state: Map<String, Any> = mapOf({kotlin_state})
fun hear(samples: FloatArray): FloatArray {{  // {step_length} of them
    val scores = arrayOf(FloatArray({n_labels}))
    val next = state.mapValues {{ (_, value) -> arrayOf(FloatArray((value as Array<FloatArray>)[0].size)) }}
    val outputs = mutableMapOf<String, Any>("scores" to scores)
    next.forEach {{ (name, value) -> outputs["new_$name"] = value }}
    interpreter.runSignature(state + ("samples" to arrayOf(samples)), outputs, "stream")
    state = next
    return scores[0]
}}
```

## Swift (iOS, `TensorFlowLiteSwift`)

```swift
import TensorFlowLite

let interpreter = try Interpreter(modelPath: "stream.tflite")
try interpreter.allocateTensors()
for input in 1..<interpreter.inputTensorCount {{  // all but samples
    let count = try interpreter.input(at: input).shape.dimensions.reduce(1, *)
    try interpreter.copy(Data(count: 4 * count), toInputAt: input)
}}
func hear(_ samples: [Float]) throws -> [Float] {{  // {step_length} of them
    try interpreter.copy(samples.withUnsafeBufferPointer {{ Data(buffer: $0) }}, toInputAt: 0)
    try interpreter.invoke()
    let scores = try interpreter.output(at: 0).data
    for input in 1..<interpreter.inputTensorCount {{  // the new states, in the order of the inputs
        try interpreter.copy(interpreter.output(at: input).data, toInputAt: input)
    }}
    return scores.withUnsafeBytes {{ Array($0.bindMemory(to: Float.self)) }}
}}
```

## JavaScript (`@litertjs/core`)

```js
import {{loadLiteRt, loadAndCompile, Tensor}} from '@litertjs/core';

await loadLiteRt('node_modules/@litertjs/core/wasm/');
const model = await loadAndCompile('stream.tflite', {{accelerator: 'wasm'}});
const state = {{{js_state}}};
async function hear(samples) {{  // Float32Array of {step_length}
  const input = new Tensor(samples, [1, {step_length}]);
  const found = await model.run('stream', {{...state, samples: input}});  // by name
  input.delete();
  const scores = found.scores.toTypedArray().slice();
  found.scores.delete();  // tensors that aren't deleted leak
  for (const name in state) {{ state[name].delete(); state[name] = found['new_' + name]; }}
  return scores;
}}
```

{with_tensorflow}`model.keras` is the classifier without its front end: MFCC float32 [batch, {n_frames}, {n_mfcc}] ->
logits.
"""

_WHOLE_FILES = """\
| `stream_float16.tflite`, `stream_dynamic.tflite`, `stream_int8.tflite` | the same with smaller weights, called alike |
| `mcu/` | for microcontrollers: TensorFlow Lite Micro models as C arrays, 8-bit weights; the front end in C; its page |
| `saved_model/`, `model.keras` | for TensorFlow and Keras |
"""

_COMPACT_FILES = """\
| `stream_int8.tflite` | the same with weights in 8 bits, called alike |
| `mcu/` | for microcontrollers: TensorFlow Lite Micro models, 8-bit weights; the front end in C; its page |
| `model.keras` | for Keras |
"""

_COMPACT = """\
This folder is compact: all weights are numbers of 8 bits, and files of float32 store them so. What else there
is, `saved_model/`, `stream_float16.tflite`, `stream_dynamic.tflite` and models as C arrays, is made of it by
`speech-rnn export {name} -o DIR --data RECORDINGS`; integers take their ranges from the recordings.

"""

_WITH_TENSORFLOW = """\
## With TensorFlow

```python
import numpy as np
import tensorflow as tf

model = tf.saved_model.load("{name}/saved_model")
waveforms = np.zeros((2, {clip_length}), np.float32)  # any number of clips
scores = model.signatures["serving_default"](waveform=tf.constant(waveforms))["scores"].numpy()
print(scores.shape)
```

Its signature `stream` takes and gives what that of `stream.tflite` does, for any number of streams at once.
"""


def readme(card: Card) -> str:
    """The page as Markdown, for a folder of the model's name."""
    features, model = card.features, card.model
    return _PAGE.format(
        name=card.name,
        n_labels=len(card.labels),
        # A code span, so that no label is taken for markup.
        labels=", ".join(f"`{label.replace('`', chr(39))}`" for label in card.labels),
        synthetic=" **Trained on synthetic speech, in part or in all.**" if card.synthetic else "",
        clip_s=features.clip_s,
        clip_length=features.clip_length,
        sample_rate=features.sample_rate,
        cell=model.cell,
        parameters=card.parameters,
        macs=card.macs_per_second / 1e6,
        n_frames=features.n_frames,
        n_mfcc=features.n_mfcc,
        n_mels=features.n_mels,
        f_min=features.f_min,
        f_max=features.f_max,
        figures=_table(card.figures),
        other_files=_COMPACT_FILES if card.compact else _WHOLE_FILES,
        compact=_COMPACT.format(name=card.name) if card.compact else "",
        with_tensorflow=""
        if card.compact
        else _WITH_TENSORFLOW.format(name=card.name, clip_length=features.clip_length),
        **_of_streams(card),
    )


def _of_streams(card: Card) -> dict[str, object]:
    """What the page says of the stream files."""
    sizes = {"kept": card.kept_length} if card.kept_length else {}
    states = {f"state_{i}": size for i, size in enumerate(card.states)}
    kept_row = f"| `kept` | [1, {card.kept_length}] | the first {card.kept_length} samples | `new_kept` |\n"
    python_state = [f'"{name}": np.zeros((1, {size}), np.float32)' for name, size in states.items()]
    if sizes:
        python_state.insert(0, f'"kept": samples[np.newaxis, :{card.kept_length}]')
    sizes |= states
    js_state = [f"{name}: new Tensor(new Float32Array({size}), [1, {size}])" for name, size in sizes.items()]
    return {
        "step_ms": 1_000 * card.step_length / card.features.sample_rate,
        "step_length": card.step_length,
        "kept_length": card.kept_length,
        "n_steps": card.n_steps,
        "kept_row": kept_row if card.kept_length else "",
        "state_rows": "".join(f"| `{name}` | [1, {size}] | zeros | `new_{name}` |\n" for name, size in states.items()),
        "new_names": ", ".join(f"`new_{name}`" for name in sizes),
        "python_state": ", ".join(python_state),
        "quoted_states": ", ".join(f'"{name}"' for name in sizes),
        "kotlin_state": ", ".join(f'"{name}" to arrayOf(FloatArray({size}))' for name, size in sizes.items()),
        "js_state": ", ".join(js_state),
    }


def _table(figures: tuple[Figure, ...]) -> str:
    if not figures:
        return ""
    rows = [_row(figure) for figure in figures]
    return "\n| figure | value | 95 % interval | measured on | by |\n|---|---|---|---|---|\n" + "".join(rows)


def _row(figure: Figure) -> str:
    interval = "" if figure.low is None or figure.high is None else f"{figure.low:.4g} to {figure.high:.4g}"
    data = figure.data + (" (synthetic)" if figure.synthetic else "") + (f", n = {figure.n:,}" if figure.n else "")
    cells = [figure.name, f"{figure.value:.4g}", interval, data, f"`{figure.command}`" if figure.command else ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"

"""The page in ``mcu/``: what the front end computes, in plain words, and how TensorFlow Lite Micro is called."""

from __future__ import annotations

from collections.abc import Mapping

from speech_rnn.card import Card
from speech_rnn.export.integers.graph import Graph

_PAGE = """\
# {name} on a microcontroller

Sound -> `front_end.c` -> int8 -> model -> int8 scores. Everything is C99 or plain data; nothing is allocated.

| file | what it is |
|---|---|
{table}| `front_end.c`, `front_end.h` | the front end: samples in, the model's int8 input out; C's own library only |
| `front_end_settings.h`, `front_end_tables.h` | its sizes and tables, of this model |
| `labels.h` | the labels, in the order of the scores |
| `*_golden.h`, `golden.json` | what to hold your build to: inputs, and what must come out |
| `main.c` | tries the front end on a computer |

Try the front end: `cc -std=c99 -O2 -o front_end main.c front_end.c -lm && ./front_end`

## The features in plain words

1. Sound is mono, {sample_rate:,} samples a second, full scale ±1: 16-bit samples divided by 32,768.
2. A frame is {n_fft} samples; the next one begins {hop_length} samples later. Nothing is padded, and no level is taken
   from elsewhere, so a frame depends on its own samples only.
3. The {win_length} samples in the middle of the frame, from sample {win_start} on, are multiplied by a periodic Hann
   window, `0.5 - 0.5 cos(2 pi i / {win_length})`; those outside it count as 0.
4. The Fourier transform of the {n_fft} values; of each of its {n_bins} bins the square of the magnitude.
5. {n_mels} triangular bands from {f_min:g} to {f_max:g} Hz, evenly spaced on Slaney's mel scale, each of area 1, as
   `librosa.filters.mel` makes them: the weighted sum of the bins' powers.
6. Each band's power in decibels: `10 log10(max(power, {power_floor:g}))`.
7. The orthonormal cosine transform (DCT-II) of the {n_mels} values; the first {n_mfcc} are the frame's MFCC.
8. Coefficient by coefficient: less `front_end_mean`, times `front_end_factor`.
9. {stack} frames, one behind the other, are a step: {step} values. Each is divided by the input's scale and rounded,
   the zero point is added, and what is beyond -128 or 127 is set to that.

A clip is {n_steps} steps, {clip_ms:.0f} ms. `front_end.c` is within 0.001 of librosa in step 7.
{sections}"""

_STEP_SECTION = """
## One step: `{name}.tflite`

Weights are int8, and what is between them int16, so that all kernels give the same scores. Inputs: 0 is `x` int8
[1, {step}]; then the states, {states}. Outputs: 0 is `scores` int8
[1, {n_labels}]; then the new states in the same order, quantized as the old ones: feeding back is `memcpy`. The arena
takes at most {arena:,} bytes (`{macro}_ARENA`, counted for a machine of 64 bits; `arena_used_bytes()` tells yours).

```cpp
#include <cstring>

#include "front_end.h"
#include "labels.h"
#include "{name}.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

constexpr int kSizes[] = {{{sizes}}};
static int16_t states[{n_states}][{largest}];
alignas(16) static uint8_t arena[{macro}_ARENA];
static FrontEnd front_end;

static tflite::MicroInterpreter &interpreter() {{
  static tflite::MicroMutableOpResolver<{n_operators}> resolver;
  static bool registered = false;
  if (!registered) {{
{registrations}    registered = true;
  }}
  static tflite::MicroInterpreter it(tflite::GetModel({name}), resolver, arena, sizeof arena);
  return it;
}}

void start_clip() {{ memset(states, 0, sizeof states); }}

void setup() {{
  interpreter().AllocateTensors();
  front_end_start(&front_end);
  start_clip();
}}

void hear(const int16_t *samples, size_t count) {{
  tflite::MicroInterpreter &it = interpreter();
  while (count > 0) {{
    size_t taken = front_end_push(&front_end, samples, count);
    samples += taken;
    count -= taken;
    if (!front_end.ready) continue;
    TfLiteTensor *x = it.input(0);
    front_end_quantize(&front_end, x->params.scale, x->params.zero_point, x->data.int8);
    for (int i = 0; i < {n_states}; i++) memcpy(it.input(1 + i)->data.i16, states[i], 2 * kSizes[i]);
    it.Invoke();
    // Inputs and outputs may lie on the same bytes of the arena: take all states out before one is put in.
    for (int i = 0; i < {n_states}; i++) memcpy(states[i], it.output(1 + i)->data.i16, 2 * kSizes[i]);
    const int8_t *scores = it.output(0)->data.int8;  // of label k: (scores[k] + 128) / 256.0f
  }}
}}
```

The model has learned clips of {n_steps} steps that begin with `start_clip()`; the scores that count are those after the
last step. To hear a word wherever it falls, keep several sets of states, begin them a few steps apart, run the step
once for each, and take the scores of the one that is complete.
"""

_CLIP_SECTION = """
## A whole clip: `{name}.tflite`

Input `x` int8 [1, {n_steps}, {step}], quantized as a step's; output `scores` int8 [1, {n_labels}]. A loop inside runs
the step {n_steps} times, from zero states on: the scores are the step's own after the last one, and nothing is kept
from clip to clip. The arena takes at most {arena:,} bytes (`{macro}_ARENA`).

```cpp
tflite::MicroMutableOpResolver<{n_operators}> resolver;
{registrations}```
"""


def readme(card: Card, graphs: Mapping[str, Graph]) -> str:
    """The page as Markdown.

    Args:
        card: of the model.
        graphs: the folder's models by name; those that take states are steps.
    """
    settings = card.features
    rows, sections = "", ""
    for name, graph in graphs.items():
        is_step = len(graph.graph.inputs) > 1
        what = "one step; states in and out" if is_step else f"{card.n_steps} steps at once"
        rows += f"| `{name}.tflite`, `{name}.c`, `{name}.h` | the model, {what}; as a file and as an array |\n"
        sections += _section(_STEP_SECTION if is_step else _CLIP_SECTION, card, name, graph, indent=4 * is_step)
    return _PAGE.format(
        name=card.name,
        table=rows,
        sections=sections,
        sample_rate=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        win_length=settings.win_length,
        win_start=(settings.n_fft - settings.win_length) // 2,
        n_bins=settings.n_fft // 2 + 1,
        n_mels=settings.n_mels,
        n_mfcc=settings.n_mfcc,
        f_min=settings.f_min,
        f_max=settings.f_max,
        power_floor=settings.power_floor,
        stack=card.model.stack,
        step=card.model.stack * settings.n_mfcc,
        n_steps=card.n_steps,
        clip_ms=1_000 * card.heard_length / settings.sample_rate,
    )


def _section(form: str, card: Card, name: str, graph: Graph, *, indent: int) -> str:
    kinds = graph.operator_names()
    return form.format(
        name=name,
        macro=name.upper(),
        arena=graph.arena_bound(),
        step=card.model.stack * card.features.n_mfcc,
        n_steps=card.n_steps,
        n_labels=len(card.labels),
        n_states=len(card.states),
        states=", ".join(f"`state_{i}` int16 [1, {size}]" for i, size in enumerate(card.states)),
        sizes=", ".join(map(str, card.states)),
        largest=max(card.states),
        n_operators=len(kinds),
        registrations="".join(f"{' ' * indent}resolver.{_registration(kind)}();\n" for kind in kinds),
    )


def _registration(kind: str) -> str:
    """The method of ``MicroMutableOpResolver`` for a kind of operator: FULLY_CONNECTED -> AddFullyConnected."""
    return "Add" + "".join(word.capitalize() for word in kind.split("_"))

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
## With speech_rnn

```python
import soundfile
import speech_rnn

recognizer = speech_rnn.load("{name}")  # the path of this folder
samples, rate = soundfile.read("speech.wav")
prediction = recognizer.predict(samples, rate)  # any rate, channels and length
print(prediction.label, prediction.score)
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

One interpreter a thread: shared by two, it gives wrong answers and no error.

## With TensorFlow

```python
import numpy as np
import tensorflow as tf

model = tf.saved_model.load("{name}/saved_model")
waveforms = np.zeros((2, {clip_length}), np.float32)  # any number of clips
scores = model.signatures["serving_default"](waveform=tf.constant(waveforms))["scores"].numpy()
print(scores.shape)
```

`model.keras` is the classifier without the front end: MFCC float32 [batch, {n_frames}, {n_mfcc}] -> logits.
`card.json` has all settings, figures and the SHA-256 of each file.
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
    )


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

"""Results as one page: a file that holds all it shows, runs no script and asks no network.

What a page says comes through its template engine, which escapes every value; figures come from
:mod:`speech_rnn.charts`, which make well-formed SVG of any text. The page's content policy forbids everything else.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from speech_rnn import charts, detection_charts, gate_charts
from speech_rnn.charts import Chart, LearningCurve
from speech_rnn.config import FeatureSettings
from speech_rnn.detection_scoring import CAUSES, DetectionReport
from speech_rnn.evaluation import Evaluation
from speech_rnn.gates import OPEN, SHUT
from speech_rnn.progress import duration
from speech_rnn.text import interval, percent, plain, rate
from speech_rnn.word_trace import WordTrace

WORST = 10  # speakers and mistakes in a table
FORMULAS = {
    "lstm": "c = forget × c + input × candidate, h = output × tanh(c)",
    "gru": "h = update × h + (1 − update) × candidate; reset: how much of h the candidate is made from",
    "rnn": "h = tanh of what comes in and of h itself; no gate decides what is kept",
}


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came of one cell.

    Attributes:
        name: of the cell, as it shall be read: ``LSTM``.
        parameters: weights that are trained.
        macs_per_second: multiplications and additions for a second of audio.
        seconds_per_epoch: mean.
        file_bytes: size of the exported TFLite file.
        latency_ms: median time from waveform to scores, one clip, one thread.
        curve: how it learned.
        evaluation: how good it is.
    """

    name: str
    parameters: int
    macs_per_second: float
    seconds_per_epoch: float
    file_bytes: int
    latency_ms: float
    curve: LearningCurve
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class SampleResult:
    """One clip and what the models make of it.

    Attributes:
        name: of the clip.
        label: what is said in it; ``None`` if not known.
        synthetic: whether a machine speaks.
        samples: float32 [samples], full scale ±1.
        settings: of the front end.
        log_mel: dB [frames, n_mels].
        mfcc: [frames, n_mfcc].
        labels: in the order of the scores.
        scores: by the model's name, [labels], 0 to 1.
    """

    name: str
    label: str | None
    synthetic: bool
    samples: NDArray[np.float32]
    settings: FeatureSettings
    log_mel: NDArray[np.floating]
    mfcc: NDArray[np.floating]
    labels: Sequence[str]
    scores: Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class _Captioned:
    chart: Chart
    title: str
    text: str = ""


def demo_page(
    results: Sequence[CellResult],
    sample: SampleResult,
    *,
    command: str,
    versions: Mapping[str, str],
    machine: str = "",
) -> str:
    """The page of the demo: the cells side by side, and one word from sound to scores.

    Args:
        results: one or more cells, evaluated on the same clips.
        sample: a clip that all of them have heard.
        command: what makes this page again.
        versions: by the library's name.
        machine: what the times were measured on.

    Returns:
        HTML, whole and self-contained.
    """
    first = results[0].evaluation
    curves = [result.curve for result in results]
    names = [plain(result.name) for result in results]
    learned = [
        _Captioned(charts.learning_curves(curves), "Accuracy by epoch", "Who needs fewer passes."),
        _Captioned(charts.learning_curves(curves, over="seconds"), "Accuracy by time", "Who gets there first."),
        _Captioned(charts.learning_curves(curves, quantity="loss"), "Loss by epoch", "Lower is better."),
        _Captioned(charts.learning_curves(curves, quantity="loss", over="seconds"), "Loss by time", "Lower is better."),
    ]
    views = [
        _Captioned(charts.spectrogram(sample.log_mel, sample.settings), "Log-mel spectrogram", "In dB, over time."),
        _Captioned(
            charts.mfcc(sample.mfcc, sample.settings),
            "MFCC",
            "What the models are given; their first layer brings all coefficients to one scale, as here.",
        ),
        _Captioned(charts.score_bars(sample.labels, sample.scores), "Scores", "The likeliest labels."),
    ]
    return render_page(
        "demo.html",
        heading=" beside ".join(names),
        lede=(
            f"{_listed(names)}: the same task of {len(first.labels)} labels, trained alike, exported to TensorFlow "
            f"Lite and evaluated on {first.accuracy.n:,} clips ({first.part} part of {first.data})."
        ),
        synthetic=any(result.evaluation.synthetic for result in results),
        verdict=_verdict(results),
        results=results,
        part=first.part,
        confidence=_confidence(first),
        groups=[
            name for name in ("commands", "unknown", "silence") if any(getattr(r.evaluation, name) for r in results)
        ],
        curves=learned,
        matrices=[
            _Captioned(
                charts.confusion_matrix(result.evaluation), result.name, percent(result.evaluation.accuracy.value)
            )
            for result in results
        ],
        sample=sample,
        sample_text=_sample_in_words(sample),
        sample_wav=_wav_url(sample.samples, sample.settings.sample_rate),
        views=views,
        command=command,
        versions=versions,
        machine=machine,
    )


def evaluation_page(evaluation: Evaluation, versions: Mapping[str, str] | None = None) -> str:
    """The page of one evaluation: accuracy, confusion, labels, speakers.

    Args:
        evaluation: what was measured.
        versions: by the library's name.

    Returns:
        HTML, whole and self-contained.
    """
    accuracy = evaluation.accuracy
    spread = ""
    if evaluation.spread is not None:
        quantiles = dict(evaluation.spread.quantiles)
        spread = (
            f"Of the {evaluation.spread.n_speakers:,} speakers with {evaluation.spread.min_clips} clips or more, "
            f"the worst has {percent(quantiles[0.0])}, a quarter have at most {percent(quantiles[0.25])}, "
            f"half at most {percent(quantiles[0.5])}."
        )
    return render_page(
        "evaluation.html",
        heading=evaluation.model or "A model",
        lede=(
            f"{percent(accuracy.value)} of {accuracy.n:,} clips right "
            f"({_confidence(evaluation)} interval {interval(accuracy.low, accuracy.high)}), "
            f"{len(evaluation.labels)} labels, {evaluation.part} part of {evaluation.data}."
        ),
        evaluation=evaluation,
        confidence=_confidence(evaluation),
        matrix=charts.confusion_matrix(evaluation),
        mistakes=evaluation.confusions(WORST),
        labels=charts.label_figures(evaluation),
        speakers=charts.speaker_spread(evaluation),
        spread_text=spread,
        worst=evaluation.speakers[:WORST],
        versions=versions or {},
    )


def streams_page(reports: Sequence[DetectionReport], versions: Mapping[str, str] | None = None) -> str:
    """The page of long recordings: misses against false alarms, operating points, labels.

    Args:
        reports: one or more on the same recordings: models, or ways to hear a stream.
        versions: by the library's name.

    Returns:
        HTML, whole and self-contained.
    """
    first = reports[0]
    names = detection_charts.series_names(reports)
    models = list(dict.fromkeys(report.model for report in reports))
    return render_page(
        "streams.html",
        heading=_listed([plain(model, 80) for model in models]),
        lede=f"{first.words:,} words to find in {first.hours:,.2f} hours: {first.data}.",
        synthetic=any(report.synthetic for report in reports),
        confidence=f"{100 * first.confidence:.3g} %",
        reports=list(zip(names, reports, strict=True)),
        rule=first.rule,
        causes=CAUSES,
        curve=detection_charts.misses_against_false_alarms(reports),
        thresholds=detection_charts.by_threshold(reports),
        labels=detection_charts.misses_by_label(reports),
        commands=list(dict.fromkeys(report.command for report in reports)),
        versions=versions or {},
    )


def inside_page(
    traces: Sequence[WordTrace], name: str, *, command: str, versions: Mapping[str, str] | None = None
) -> str:
    """The page of one word on its way through the cells of one model or several, side by side.

    Args:
        traces: one or more of the same sound.
        name: of the sound.
        command: what makes this page again.
        versions: by the library's name.

    Returns:
        HTML, whole and self-contained.
    """
    models = [plain(trace.model, 80) for trace in traces]
    labels, highest = gate_charts.likeliest_labels(traces), gate_charts.highest_norms(traces)
    until_s = max(trace.heard_s for trace in traces)
    first = traces[0]
    return render_page(
        "inside.html",
        heading=f"Inside {_listed(models)}",
        lede=f"{plain(name, 80)}, {first.file_s:.2f} s. {_listed([_heard_in_words(trace) for trace in traces])}.",
        length=_length_in_words(first),
        traces=traces,
        formulas=[(cell.upper(), FORMULAS[cell]) for cell in dict.fromkeys(trace.cell for trace in traces)],
        sound_wav=_wav_url(first.samples, first.settings.sample_rate),
        sound=name,
        words=[gate_charts.word_and_scores(trace, labels, until_s=until_s, highest=highest) for trace in traces],
        layers=[
            [
                [draw(trace, number, until_s=until_s) if number <= len(trace.layers) else None for trace in traces]
                for draw in (gate_charts.signals_by_time, gate_charts.units_by_time)
            ]
            for number in range(1, 1 + max(len(trace.layers) for trace in traces))
        ],
        shut=SHUT,
        open=OPEN,
        command=command,
        versions=versions or {},
    )


def _heard_in_words(trace: WordTrace) -> str:
    label, score = trace.heard
    return f"{plain(trace.model, 80)} hears “{plain(label)}” with {percent(score)}"


def _length_in_words(trace: WordTrace) -> str:
    """What is done with a sound that isn't as long as a clip."""
    clip_s = trace.settings.clip_s
    if trace.file_s < clip_s:
        return f"It is shorter than the {clip_s:g} s of a clip: silence was put before and behind it."
    if trace.file_s > clip_s:
        return (
            f"It is longer than the {clip_s:g} s of a clip, and was heard as one sequence from its beginning: "
            "what comes later than that, training has never shown the model."
        )
    return ""


def _verdict(results: Sequence[CellResult]) -> str:
    """What the intervals allow to say."""
    if len(results) < 2:
        return "One model."
    return (
        "One run of each, from one seed: the intervals are those of these clips and these voices, so this does not "
        "tell which cell hears better."
    )


def _sample_in_words(sample: SampleResult) -> str:
    """What is said in the sample and what is heard."""
    heard = [
        f"{plain(name)} hears “{plain(sample.labels[int(np.argmax(row))])}” with {percent(float(np.max(row)))}"
        for name, row in sample.scores.items()
    ]
    said = "" if sample.label is None else f"“{plain(sample.label)}” is said in it. "
    return (
        f"{plain(sample.name, 80)}, {len(sample.samples) / sample.settings.sample_rate:.2f} s. {said}{_listed(heard)}."
    )


def _wav_url(samples: NDArray[np.float32], rate: int) -> str:
    """Samples as a 16-bit WAV file inside a URL."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(np.round(samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(content.getvalue()).decode()}"


def _confidence(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.confidence:.3g} %"


def _listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _large(number: float) -> str:
    """``820,000`` or ``7.6 million``."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,.0f}"


def _bytes(number: int) -> str:
    return f"{number / 1e6:.2f} MB" if number >= 1_000_000 else f"{number / 1e3:,.0f} kB"


def _seconds(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f} s"


def _milliseconds(number: float) -> str:
    return f"{number:.2f} ms" if number < 10 else f"{number:,.0f} ms"


def _printable(value: Any) -> Any:
    """What the engine escapes next: text without control characters, which no page may hold."""
    return plain(value, len(value)) if isinstance(value, str) and not isinstance(value, Markup) else value


def render_page(template: str, **values: Any) -> str:
    """A page from its template; a value that is missing is an error, one that is text is escaped.

    Args:
        template: a file of ``pages``.
        values: what it shows; charts come as :class:`~speech_rnn.charts.Chart`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speech_rnn", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bytes": _bytes,
        "duration": duration,
        "element": lambda chart: Markup(chart.svg),  # well-formed and escaped: speech_rnn.svg made it
        "grouped": "{:,}".format,
        "interval": interval,
        "large": _large,
        "milliseconds": _milliseconds,
        "percent": percent,
        "rate": rate,
        "seconds": _seconds,
        "short": plain,
        "trim_mark": lambda heading: heading.removeprefix(">"),
        "signed": "{:z.2f}".format,
    }
    return environment.get_template(template).render(dark_colours=charts.DARK.items(), **values)

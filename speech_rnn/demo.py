"""The demo: both cells trained on the embedded corpus, side by side, exported, and heard.

Everything it says of accuracy is said of synthetic speech.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speech_rnn import atomic, features, scoring, training
from speech_rnn.charts import LearningCurve
from speech_rnn.config import AugmentationSettings, FeatureSettings, ModelSettings, RunSettings, TrainingSettings
from speech_rnn.data.clips import Part
from speech_rnn.data.store import Store
from speech_rnn.errors import DataError
from speech_rnn.evaluation import Evaluation, evaluate
from speech_rnn.export.artefact import export_run
from speech_rnn.export.calibration import calibration_features
from speech_rnn.history import Epoch
from speech_rnn.preparation import Prepared, prepare
from speech_rnn.processes import n_cores
from speech_rnn.report import CellResult, SampleResult, demo_page
from speech_rnn.runs import Run, load_run
from speech_rnn.runtime import CLIP_FILE, Prediction, Recognizer, load

CELLS = ("lstm", "gru")
PAGE = "index.html"
FIGURES = "demo.json"  # also what tells a demo's folder from any other
SAMPLE = "sample.wav"
EPOCHS = 12
UNITS = 64
TESTED: Part = "testing"
SAMPLE_WORD = "stop"
LATENCY_CALLS = 50


@dataclass(frozen=True)
class Demo:
    """What the demo came to.

    Attributes:
        folder: holds the page, the runs, the models and the sample.
        results: an entry a cell.
        sample: what was recognized.
        predictions: what each model made of it, by the cell's name.
    """

    folder: Path
    results: Sequence[CellResult]
    sample: SampleResult
    predictions: dict[str, Prediction]


def run_demo(
    folder: Path,
    *,
    cache: Path,
    command: str,
    epochs: int = EPOCHS,
    units: int = UNITS,
    seed: int = 1,
    workers: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Demo:
    """Train, compare, export, recognize, and write the page.

    Args:
        folder: to be made; a demo's folder that is there already is replaced, any other is refused.
        cache: of decoded recordings.
        command: what the page says gives it again.
        epochs: of each cell.
        units: of a recurrent layer, the same for both.
        seed: of weights and draws.
        workers: processes beside the training.
        say: told a line at every step.

    Raises:
        DataError: the folder holds something else.
    """
    shown, folder = folder, folder.resolve()
    if folder == Path.cwd():
        raise DataError(f"{shown} is the folder you are in, which a demo would replace; give another -o folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / FIGURES).exists():
        raise DataError(f"{shown} holds something else than a demo; give another -o folder")
    settings = RunSettings(
        features=FeatureSettings(),
        augmentation=AugmentationSettings.mild(),
        model=ModelSettings(units=units),
        training=TrainingSettings(epochs=epochs, seed=seed, learning_rate=4e-3),
    )
    prepared = prepare(["corpus"], settings, cache, auto_f_max=True)
    clips = prepared.store.clips
    say(
        f"{len(clips):,} synthetic clips by {len({clip.speaker for clip in clips})} voices of espeak-ng and flite; "
        "no voice is in two parts"
    )
    with atomic.new_folder(folder, replace=True) as beside:
        try:
            results = [_one_cell(cell, beside, prepared, command=command, workers=workers, say=say) for cell in CELLS]
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the demo was stopped, and nothing of it is left; start it again") from None
        sample, predictions = _hear_sample(beside, prepared)
        run = load_run(beside / "runs" / CELLS[0])
        page = demo_page(results, sample, command=command, versions=run.record.made_with, machine=_machine())
        atomic.write_text(beside / PAGE, page)
        atomic.write_text(beside / FIGURES, json.dumps([_figures(result) for result in results], indent=2))
    return Demo(shown, results, sample, predictions)


def _one_cell(
    cell: str,
    folder: Path,
    prepared: Prepared,
    *,
    command: str,
    workers: int | None,
    say: Callable[[str], None],
) -> CellResult:
    """Train, export and judge one cell."""
    settings = prepared.settings.changed(model=prepared.settings.model.changed(cell=cell))
    run_folder = folder / "runs" / cell
    training.start(run_folder, settings, prepared.sources, prepared.names, prepared.store)
    epochs = settings.training.epochs

    def report(entry: Epoch) -> None:
        if entry.epoch % max(1, epochs // 6) == 0 or entry.epoch == epochs:
            say(
                f"  epoch {entry.epoch:>{len(str(epochs))}} of {epochs}   loss {entry.loss:.3f}   "
                f"validation {entry.validation_accuracy or 0.0:.1%}   {entry.seconds:.1f} s an epoch"
            )

    say(f"{cell.upper()}: training, {settings.model.layers} x {settings.model.units} units")
    history = training.train(run_folder, prepared.store, workers=workers, report=report)
    run = load_run(run_folder)
    say(f"{cell.upper()}: exporting, each file checked against Keras")
    calibration = calibration_features(run.settings, prepared.store)
    card = export_run(run, folder / "models" / cell, name=f"{cell}-demo", calibration=calibration)
    return CellResult(
        name=cell.upper(),
        parameters=card.parameters,
        macs_per_second=card.macs_per_second,
        # The first epoch also builds the graph.
        seconds_per_epoch=float(np.median([entry.seconds for entry in history])),
        file_bytes=card.files[CLIP_FILE].bytes,
        latency_ms=_latency_ms(load(folder / "models" / cell), prepared.store),
        curve=_curve(cell.upper(), history),
        evaluation=_judged(run, prepared.store, command, workers),
    )


def _figures(result: CellResult) -> dict[str, object]:
    """A cell's figures as JSON has them; those of accuracy say that the speech is synthetic."""
    return {
        "name": result.name,
        "parameters": result.parameters,
        "macs_per_second": result.macs_per_second,
        "seconds_per_epoch": result.seconds_per_epoch,
        "file_bytes": result.file_bytes,
        "latency_ms": result.latency_ms,
        "evaluation": json.loads(result.evaluation.model_dump_json()),
    }


def _curve(name: str, history: Sequence[Epoch]) -> LearningCurve:
    return LearningCurve(
        name=name,
        seconds=np.cumsum([entry.seconds for entry in history]).tolist(),
        loss=[entry.loss for entry in history],
        validation_loss=[_or_nan(entry.validation_loss) for entry in history],
        validation_accuracy=[_or_nan(entry.validation_accuracy) for entry in history],
    )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _judged(run: Run, store: Store, command: str, workers: int | None) -> Evaluation:
    scored = scoring.score_run(run, store, "testing", workers=workers)
    return evaluate(
        scored.logits,
        scored.targets,
        run.labels,
        scored.speakers,
        data="the embedded synthetic corpus",
        synthetic=True,
        command=command,
        part="testing",
        model=run.settings.model.cell,
    )


def _latency_ms(recognizer: Recognizer, store: Store) -> float:
    """Median time of a clip from waveform to scores on one thread, in milliseconds."""
    clip = _float(store.read(np.zeros(1, np.int64)))[0]
    recognizer.scores(clip)
    times = []
    for _ in range(LATENCY_CALLS):
        start = time.perf_counter()
        recognizer.scores(clip)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1_000


def _hear_sample(folder: Path, prepared: Prepared) -> tuple[SampleResult, dict[str, Prediction]]:
    """A word by a voice that no model has heard, as a file, through both models."""
    store, settings = prepared.store, prepared.settings.features
    index = next(i for i, clip in enumerate(store.clips) if clip.part == TESTED and clip.word == SAMPLE_WORD)
    samples = _float(store.read(np.array([index])))
    with atomic.new_file(folder / SAMPLE) as beside:
        soundfile.write(beside, samples[0], settings.sample_rate, format="WAV", subtype="PCM_16")
    recognizers = {cell.upper(): load(folder / "models" / cell) for cell in CELLS}
    predictions = {name: model.predict(samples[0], settings.sample_rate) for name, model in recognizers.items()}
    log_mel = features.log_mel(samples, settings)
    labels = recognizers[CELLS[0].upper()].labels
    result = SampleResult(
        name=SAMPLE,
        label=SAMPLE_WORD,
        synthetic=True,
        samples=samples[0],
        settings=settings,
        log_mel=log_mel[0],
        mfcc=features.mfcc_from_log_mel(log_mel, settings)[0],
        labels=labels,
        scores={
            name: np.array([prediction.scores[label] for label in labels]) for name, prediction in predictions.items()
        },
    )
    return result, predictions


def _float(rows: NDArray[np.int16]) -> NDArray[np.float32]:
    return rows * np.float32(1 / 32_768)


def _machine() -> str:
    return f"{n_cores()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"

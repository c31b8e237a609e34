"""A trained classifier -> a model folder: in several forms and with one card, each form checked before it ships.

``model.keras`` (MFCC -> logits), ``saved_model/``, ``clip.tflite`` (waveform -> scores, front end inside), the stream
files (a step of sound and states -> scores and states, in four precisions), ``mcu/`` for boards, ``card.json``,
``labels.txt`` and ``README.md``. The folder is written beside and renamed: there is a whole one or none.

A compact folder, for models that are shipped with a program, takes a fifth: weights are rounded to 8 bits, so that
files of float32 can store them so and still give the same scores as ``model.keras``; what can be made of that file is
left out.
"""

from __future__ import annotations

import hashlib
import platform
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

import speech_rnn
from speech_rnn import atomic
from speech_rnn.adaptation import Others
from speech_rnn.card import (
    CARD_FILE,
    KERAS_FILE,
    OTHERS_FILE,
    Agreement,
    Card,
    Figure,
    FileEntry,
    clipped,
)
from speech_rnn.errors import ModelError
from speech_rnn.export.assembly import Piece
from speech_rnn.export.board.folder import FOLDER as BOARD
from speech_rnn.export.board.folder import write_board_files
from speech_rnn.export.card_of_run import card_of
from speech_rnn.export.front_end import FrontEnd
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.networks import arrange
from speech_rnn.export.metadata import with_audio_metadata
from speech_rnn.export.probes import BOUND, BOUNDS, CHIRP, Scores, check, keras_scores, make_probes, stepwise_scores
from speech_rnn.export.readme import readme
from speech_rnn.export.saved_model import load_signatures, write_saved_model
from speech_rnn.export.short_weights import shorten_weights, with_short_weights
from speech_rnn.export.tflite import (
    Precision,
    clip_file,
    convert_front_end,
    convert_step,
    integer_step,
    stream_file,
)
from speech_rnn.models import build_classifier, recurrent_layers
from speech_rnn.progress import progress
from speech_rnn.quiet import quiet
from speech_rnn.runs import Run
from speech_rnn.runtime import CLIP_FILE, Recognizer
from speech_rnn.stream_model import STREAM_FILES, StreamForm, StreamModel
from speech_rnn.tflite_file import CLIP_SIGNATURE, SCORES, STREAM
from speech_rnn.trained import normalization_of

SAVED_MODEL = "saved_model"
LABELS_FILE = "labels.txt"
README_FILE = "README.md"


def export_run(
    run: Run,
    folder: Path,
    *,
    name: str,
    calibration: NDArray[np.float32],
    which: Literal["best", "final"] = "best",
    figures: Sequence[Figure] | None = None,
    others: Others | None = None,
    compact: bool = False,
) -> Card:
    """Write a trained run as a model folder.

    Args:
        run: with the weights to export.
        folder: to be made; a model folder that is there already is replaced.
        calibration: float32 [clips, frames, n_mfcc], of training clips, from which integers take their ranges; see
            :func:`speech_rnn.export.calibration.calibration_features`.
        name: the model's, for :func:`speech_rnn.load`: letters, digits, ``.``, ``_`` and ``-``.
        which: the weights that ``run`` was loaded with, for the card.
        figures: what the model reaches, for the card; the run's validation accuracy if not given.
        others: what the classifier makes of the words of its training, for those who adapt it.
        compact: whether the folder is to be small.

    Returns:
        The card, as written.

    Raises:
        ModelError: the name isn't allowed, the folder holds something else, the classifier can't be converted, or a
            file differs from Keras by more than its bound.
    """
    card = card_of(run, name, which, figures, compact=compact)
    return export_classifier(run.classifier, folder, card, calibration=calibration, others=others)


def int8_stream(
    run: Run, *, name: str, calibration: NDArray[np.float32], which: Literal["best", "final"] = "best"
) -> StreamModel:
    """The stream file of a run in eight bits alone, as :func:`export_run` writes it, but not held to the probes.

    Args:
        run: with the weights to convert; the other arguments are those of :func:`export_run`.
        name: the model's.
        calibration: MFCC of training clips.
        which: weights.

    Raises:
        ModelError: the name isn't allowed, or the classifier can't be converted.
    """
    card = card_of(run, name, which).model_copy(update={"made_with": _versions()})
    network = arrange(_float32(run.classifier, card), card, calibration)
    step = integer_step(network, convert(network).logits.to_bytes())
    file = STREAM_FILES["int8"]
    return StreamModel(card, stream_file(card, convert_front_end(card), step), file)


def export_classifier(
    classifier: keras.Model,
    folder: Path,
    card: Card,
    *,
    calibration: NDArray[np.float32],
    others: Others | None = None,
) -> Card:
    """Write a classifier as a model folder.

    Args:
        classifier: MFCC float32 [batch, frames, n_mfcc] -> logits float32 [batch, labels].
        folder: as for :func:`export_run`, as are the others, what is returned and what is raised.
        card: what is known of the classifier; files and versions are put in.
        calibration: MFCC of training clips.
        others: for those who adapt it.
    """
    check_place(folder)
    card = card.model_copy(update={"files": {}, "made_with": _versions()})
    classifier = _float32(classifier, card)
    if card.compact:
        shorten_weights(classifier)
    try:
        with atomic.new_folder(folder.resolve(), replace=True) as beside:
            if others is not None:
                (beside / OTHERS_FILE).write_bytes(others.to_bytes())
            return _write(beside, classifier, card, calibration)
    except OSError as error:
        raise ModelError(f"{folder} can't be written ({error.strerror}); give another folder, or make room") from error


def _write(folder: Path, classifier: keras.Model, card: Card, calibration: NDArray[np.float32]) -> Card:
    """All files of the model; the card with their digests last."""
    (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in card.labels), encoding="utf-8")
    (folder / README_FILE).write_text(readme(card), encoding="utf-8")
    # The card as it is now, without digests, travels inside; SavedModel takes it from a file of that name.
    (folder / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    probes = make_probes(card.features)
    expected = keras_scores(classifier, card.features, np.stack(list(probes.values())))
    agreements: dict[str, dict[str, Agreement]] = {}

    def hold(file: str, scores: Scores, bound: float = BOUND) -> None:
        found = check(file, scores, probes, expected, bound)
        worse = agreements.setdefault(file, found)
        agreements[file] = {name: max(worse[name], found[name], key=lambda one: one.error) for name in found}

    precisions: tuple[Precision, ...] = ("float32",) if card.compact else ("float32", "float16", "dynamic")
    stored = with_short_weights if card.compact else bytes
    with progress("export", 6 + len(precisions)) as bar:
        _write_keras(folder / KERAS_FILE, classifier, card)
        hold(KERAS_FILE, _keras_file_scores(folder / KERAS_FILE, classifier, card))
        bar.advance()
        if not card.compact:
            front_end = FrontEnd(card.features, tf.float64)
            write_saved_model(classifier, front_end, card, folder / CARD_FILE, folder / SAVED_MODEL)
            signatures = load_signatures(folder / SAVED_MODEL)
            saved = f"{SAVED_MODEL}/saved_model.pb"
            hold(saved, lambda clips: np.asarray(signatures[CLIP_SIGNATURE](waveform=clips)[SCORES]))
            hold(saved, lambda clips: stepwise_scores(signatures[STREAM], card, clips))
        bar.advance()
        pieces, network = convert_front_end(card), arrange(classifier, card, calibration)
        integers = convert(network)
        bar.advance()

        def write_stream(form: StreamForm, step: Piece) -> StreamModel:
            file = STREAM_FILES[form]
            (folder / file).write_bytes(stored(stream_file(card, pieces, step)))
            model = StreamModel(card, (folder / file).read_bytes(), file)
            hold(file, model.clip_scores, BOUNDS[form])
            hold(file, partial(_through_signature, model), BOUNDS[form])
            bar.advance()
            return model

        for precision in precisions:
            step = convert_step(classifier, precision)
            model = write_stream(precision, step)
            if precision == "float32":
                (folder / CLIP_FILE).write_bytes(_for_mediapipe(stored(clip_file(card, pieces, step)), card))
                recognizer = Recognizer(card, (folder / CLIP_FILE).read_bytes(), model)
                hold(CLIP_FILE, partial(_clip_by_clip, recognizer))
                bar.advance()
        write_stream("int8", integer_step(network, integers.logits.to_bytes()))
        agreements |= write_board_files(folder, classifier, calibration, network, integers.board)
        bar.advance()

    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CARD_FILE)
    entries = {path.relative_to(folder).as_posix(): path for path in paths}
    card = card.with_files({file: _entry(file, path, agreements.get(file, {})) for file, path in entries.items()})
    (folder / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    return card


def _for_mediapipe(clip: bytes, card: Card) -> bytes:
    """The clip file with what MediaPipe's AudioClassifier must be told."""
    return with_audio_metadata(
        clip,
        name=card.name,
        description=f"Which of {len(card.labels)} labels is heard in {card.features.clip_s:g} s of sound.",
        sample_rate=card.features.sample_rate,
        labels=card.labels,
    )


def _clip_by_clip(recognizer: Recognizer, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([recognizer.scores(clip) for clip in clips])


def _through_signature(model: StreamModel, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clips through the signature ``stream``, one after the other, by LiteRT's plain kernels."""
    interpreter = Interpreter(
        model_content=model.content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    runner = interpreter.get_signature_runner(STREAM)
    return np.concatenate([stepwise_scores(runner, model.card, clip[np.newaxis]) for clip in clips])


def _entry(file: str, path: Path, agreements: Mapping[str, Agreement]) -> FileEntry:
    forms = {KERAS_FILE: "keras", CLIP_FILE: "clip", **dict.fromkeys(STREAM_FILES.values(), "stream")}
    of_folder = {SAVED_MODEL: "saved_model", BOARD: "board"}
    content = path.read_bytes()
    return FileEntry(
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        form=forms.get(file, of_folder.get(file.partition("/")[0], "text")),
        max_error=max((one.error for name, one in agreements.items() if name != CHIRP), default=None),
        bound=min((one.bound for one in agreements.values()), default=None),
        probes=agreements,
    )


def _write_keras(path: Path, classifier: keras.Model, card: Card) -> None:
    """The classifier as Keras keeps it, with the card as a further member of the archive."""
    try:
        with quiet():
            classifier.save(path)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"cell={card.model.cell!r} can't be saved by Keras ({clipped(str(error))}); give its class a get_config()"
        ) from error
    # Keras stores its members as they are; floats of 8 digits pack to a third of their size.
    packing = zipfile.ZIP_DEFLATED if card.compact else zipfile.ZIP_STORED
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w", packing) as archive:
        for member, content in {**members, CARD_FILE: card.to_json().encode()}.items():
            archive.writestr(member, content)


def _keras_file_scores(path: Path, classifier: keras.Model, card: Card) -> Scores:
    """Runs the saved classifier on librosa's features."""
    layers = recurrent_layers(classifier)
    classes = {type(part).__name__: type(part) for layer in layers for part in (layer, getattr(layer, "cell", layer))}
    loaded = keras.saving.load_model(path, custom_objects=classes, compile=False, safe_mode=True)
    return lambda clips: keras_scores(loaded, card.features, clips)


def _float32(classifier: keras.Model, card: Card) -> keras.Model:
    """A classifier in float32 throughout, and without cuDNN, whose operators no other machine has."""
    weights = classifier.get_weights()
    classifier = build_classifier(
        card.model.changed(precision="float32"),
        card.features.n_frames,
        card.features.n_mfcc,
        len(card.labels),
        **normalization_of(classifier),
    )
    classifier.set_weights(weights)
    for layer in recurrent_layers(classifier):
        if hasattr(layer, "use_cudnn"):
            layer.use_cudnn = False
    return classifier


def _versions() -> dict[str, str]:
    libraries = ("tensorflow", "keras", "librosa", "numpy", "ai-edge-litert")
    return {
        "speech-rnn": speech_rnn.__version__,
        "python": platform.python_version(),
        **{library: metadata.version(library) for library in libraries},
    }


def check_place(folder: Path) -> None:
    """Raise :class:`ModelError` where a folder holds something: only an empty one or a model may be replaced."""
    if folder.is_dir():
        if (folder / CARD_FILE).exists() or not any(folder.iterdir()):
            return
        raise ModelError(f"{folder} is there already and is no model; remove it, or give another folder")
    if folder.exists():
        raise ModelError(f"{folder} is a file; give a folder")

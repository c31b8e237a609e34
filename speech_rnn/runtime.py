"""An exported model -> scores, with LiteRT and NumPy only.

A model file is checked (size, digest, form, operators, shapes, the card inside) before the interpreter sees it. A
:class:`Recognizer` never changes and may be shared by threads: LiteRT's interpreter may not, so each thread gets its
own, some milliseconds and megabytes each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from speech_rnn.audio import fit, read_blocks, to_mono
from speech_rnn.card import AGAIN, CARD_FILE, Card, clipped, read_checked
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, ModelError
from speech_rnn.stream_model import STREAM_FILES, StreamForm, StreamModel
from speech_rnn.streaming import Stream
from speech_rnn.tflite_file import check_clip_file

DEFAULT_MODEL = "gru-12-small"
CLIP_FILE = "clip.tflite"

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a clip was taken for.

    Attributes:
        label: the label with the highest score.
        score: its score, 0 to 1.
        scores: every label's score, in the order of the model's labels; their sum is 1.
    """

    label: str
    score: float
    scores: Mapping[str, float]


def load(model: str | Path, form: StreamForm = "float32") -> Recognizer:
    """A model, ready to recognize.

    Args:
        model: the name of a model that is shipped (see :func:`shipped_models`), or the path of a folder that
            ``speech-rnn export`` wrote.
        form: which of its stream files streams go through; clips always go through the clip file, in float32.

    Raises:
        ModelError: there is no such model or form, or a file of it is missing, damaged, of another version or not
            ours.
    """
    folder = find_model(model)
    card = Card.read(folder / CARD_FILE)
    if form not in STREAM_FILES:
        raise ModelError(f"form={clipped(form)} is not known; take one of {', '.join(STREAM_FILES)}")
    clip, stream = (read_checked(folder, name, card) for name in (CLIP_FILE, STREAM_FILES[form]))
    return Recognizer(card, clip, StreamModel(card, stream, str(folder / STREAM_FILES[form])), str(folder / CLIP_FILE))


def shipped_models() -> dict[str, Path]:
    """The models that come with this package: name -> folder."""
    places = [_PACKAGE / "exported"]  # in a wheel
    if (_PACKAGE.parent / "pyproject.toml").is_file():  # in a checkout
        places.append(_PACKAGE.parent / "exported")
    return {card.parent.name: card.parent for place in places for card in sorted(place.glob(f"*/{CARD_FILE}"))}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recognizer:
    """A loaded model; immutable, and safe to share between threads.

    Attributes:
        card: what is known of the model.
        model: the bytes of its clip file.
        stream_model: its stream file.
        where: what errors call the clip file.
    """

    card: Card
    model: bytes
    stream_model: StreamModel
    where: str = CLIP_FILE
    _of_thread: threading.local = field(default_factory=threading.local, init=False)

    def __post_init__(self) -> None:
        check_clip_file(self.model, self.card, self.where)
        self._interpreter()

    def __repr__(self) -> str:
        return f"<Recognizer {self.card.name}: {len(self.labels)} labels>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Recognizer, (self.card, self.model, self.stream_model, self.where)

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the scores."""
        return self.card.labels

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that the model works at; other rates are resampled to it."""
        return self.card.features.sample_rate

    @property
    def clip_length(self) -> int:
        """Samples at :attr:`sample_rate` that the model hears at once."""
        return self.card.features.clip_length

    def predict(self, samples: NDArray[Any], rate: float) -> Prediction:
        """What is said in some sound.

        The model hears ``clip_length`` samples: of longer sound the middle, shorter sound gets zeros on both sides.

        Args:
            samples: [samples] or [samples, channels], any number of samples, floats of full scale ±1 or integers.
            rate: their rate in Hz.

        Raises:
            AudioError: the samples are none, not finite, or of a wrong shape or rate.
        """
        scores = self.scores(fit(to_mono(samples, rate, self.sample_rate), self.clip_length))
        best = int(scores.argmax())
        by_label = {label: float(score) for label, score in zip(self.labels, scores, strict=True)}
        return Prediction(self.labels[best], float(scores[best]), by_label)

    def predict_batch(self, clips: Iterable[NDArray[Any]], rate: float) -> list[Prediction]:
        """:meth:`predict` of several sounds of one rate, in their order."""
        return [self.predict(samples, rate) for samples in clips]

    def stream(self, config: DetectorConfig | None = None) -> Stream:
        """An endless sound to be heard chunk by chunk; many may run at once, in several threads.

        Args:
            config: how scores become detections; as the card says where not given.

        Raises:
            SettingsError: a threshold for what is no label of the model.
        """
        return Stream(self.stream_model, self.card.detector if config is None else config)

    def scores(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """The bare scores of one clip.

        Args:
            clip: float32 [clip_length], at :attr:`sample_rate`, full scale ±1, finite.

        Returns:
            float32 [labels], 0 to 1, their sum is 1.

        Raises:
            AudioError: another shape or dtype.
            ModelError: the model gives something that isn't a number.
        """
        if clip.shape != (self.clip_length,) or clip.dtype != np.float32:
            raise AudioError(
                f"clip of shape {clip.shape} and dtype {clip.dtype} must be float32 [{self.clip_length}]; "
                "predict() takes any sound"
            )
        interpreter, input_index, output_index = self._interpreter()
        interpreter.set_tensor(input_index, clip[np.newaxis])
        interpreter.invoke()
        scores: NDArray[np.float32] = interpreter.get_tensor(output_index)[0]
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.where} gives scores that are not numbers; its weights are broken: {AGAIN}")
        return scores

    def _interpreter(self) -> tuple[Interpreter, int, int]:
        """This thread's interpreter, and the indices of its input and output."""
        own: tuple[Interpreter, int, int] | None = getattr(self._of_thread, "interpreter", None)
        if own is None:
            own = self._of_thread.interpreter = _new_interpreter(self.model, self.where)
        return own


def read_clip(path: str | Path, sample_rate: int, clip_length: int) -> tuple[NDArray[np.float32], int]:
    """What a model hears of a sound file: as ``fit(read_audio(path))``, in little memory whatever its length.

    Args:
        path: a sound file, see :func:`speech_rnn.audio.read_audio`.
        sample_rate: the model's rate in Hz.
        clip_length: the model's clip in samples.

    Returns:
        float32 [clip_length], and the samples that the whole file has at ``sample_rate``.

    Raises:
        AudioError: the file isn't the sound it should be.
    """
    blocks = read_blocks(path, sample_rate)
    first = next(blocks)
    length = len(first) + sum(len(block) for block in blocks)
    if length == len(first):
        return fit(first, clip_length), length
    # Where the middle is, only the end of the file tells; so it is read again.
    start = max(0, length - clip_length) // 2
    heard: list[NDArray[np.float32]] = []
    at = 0
    for block in read_blocks(path, sample_rate):
        heard.append(block[max(0, start - at) : max(0, start + clip_length - at)])
        at += len(block)
        if at >= start + clip_length:
            break
    return fit(np.concatenate(heard), clip_length), length


def _new_interpreter(model: bytes, where: str) -> tuple[Interpreter, int, int]:
    try:
        # The default delegate, XNNPACK, would take 14 MB and print a line on stderr to save a third of 3 ms a clip.
        interpreter = Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        # Here too: a name in the file that isn't UTF-8 is a ValueError.
        return interpreter, interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    except (RuntimeError, ValueError) as error:
        reason = clipped(" ".join(str(error).split()))
        raise ModelError(f"{where} can't be run by LiteRT ({reason}); {AGAIN}") from None


def find_model(model: str | Path) -> Path:
    """The folder of a model by name or path; :class:`ModelError` where there is none."""
    known = shipped_models()
    if isinstance(model, str) and model in known:
        return known[model]
    path = Path(model)
    try:
        if path.is_dir():
            if (path / "run.json").exists() and not (path / CARD_FILE).exists():
                raise ModelError(f"{path} is a training run, not a model; 'speech-rnn export {path} -o DIR' makes one")
            return path
        if path.is_file():
            raise ModelError(f"{path} is a file, and a model is a folder with {CARD_FILE} in it; give the folder")
    except (OSError, ValueError):  # too long a name, a zero byte
        pass
    names = f"of those shipped: {', '.join(known)}" if known else "none is shipped"
    raise ModelError(
        f"model {clipped(str(model))} is neither a folder nor a name ({names}); "
        "'speech-rnn export RUN -o DIR' makes one"
    )

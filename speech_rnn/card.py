"""What a model says of itself: settings, labels, figures, digests. What can't be read from the card is not known.

A card lies beside the model's files as ``card.json`` and, without the digests, inside each of them. It comes from
outside: every value is checked, sizes are limited, and strings are printable, before anyone uses it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from speech_rnn.config import DetectorConfig, FeatureSettings, ModelSettings, TrainingSettings
from speech_rnn.errors import ModelError, SettingsError

CARD_VERSION: Final = 1
CARD_FILE = "card.json"
KERAS_FILE = "model.keras"
OTHERS_FILE = "others.npz"  # states that adaptation needs
LARGEST_CARD = 1_000_000  # bytes; 1,000 labels of 64 characters take 70,000

AGAIN = "export the model again"


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError(f"{clipped(text)} must be printable, without blanks at its ends")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError(
            f"{clipped(text)} must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or a digit; "
            "'gru-12-small' is an example"
        )
    return text


Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Line = Annotated[str, Field(max_length=1_000), AfterValidator(_printable)]
Name = Annotated[str, AfterValidator(_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Relative, and no part begins with a dot: a card can't point outside its folder.
FileName = Annotated[
    str, Field(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
]
Error = Annotated[float, Field(ge=0.0)]
StateSize = Annotated[int, Field(ge=1, le=65_536)]


class CardPart(BaseModel):
    """Base of the card and its parts: frozen, no unknown keys, no coercion, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataSource(CardPart):
    """Recordings that the model was trained on.

    Attributes:
        title: its name, ``corpus`` or a folder's.
        origin: where the recordings are from and under which license.
        digest: SHA-256 of the collection; changes when names, sizes or contents do.
        synthetic: machines speak.
    """

    title: Line
    origin: Line = ""
    digest: Sha256
    synthetic: bool


class TrainingSummary(CardPart):
    """How the weights came about.

    Attributes:
        weights: which weights were exported: the best by validation, the last, or some that were never trained.
        epochs: epochs trained.
        best_epoch: the epoch that was best by validation, counted from 1; ``None`` if not known.
        clips: training clips an epoch.
        settings: the loop's settings.
    """

    weights: Literal["best", "final", "untrained"]
    epochs: int = Field(default=0, ge=0)
    best_epoch: int | None = Field(default=None, ge=1)
    clips: int | None = Field(default=None, ge=0)
    settings: TrainingSettings | None = None


class Figure(CardPart):
    """A measured number with its interval, what it was measured on, and the command that measures it.

    Attributes:
        name: what was measured, ``accuracy``, ``accuracy_commands``.
        value: the number.
        low: lower end of its 95 % interval; ``None`` where there is none.
        high: upper end.
        n: clips it was measured on.
        data: which clips, ``validation part of corpus``.
        synthetic: machines speak in them.
        command: the command that gives it.
    """

    name: Line
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = Field(default=None, ge=0)
    data: Line = ""
    synthetic: bool
    command: Line = ""


class Agreement(CardPart):
    """How near a file comes to Keras on one probe.

    Attributes:
        error: largest difference of a score from Keras on librosa's features.
        bound: what it had to stay within to be shipped.
    """

    error: Error
    bound: Error


class FileEntry(CardPart):
    """A file of the model.

    Attributes:
        sha256: digest of its bytes.
        bytes: its size.
        form: what it is: ``keras``, ``saved_model``, ``clip``, ``stream``, ``board`` or ``text``.
        max_error: largest difference of a score from Keras on speech, noise and silence; ``None`` for a file that
            gives no scores.
        bound: what ``max_error`` had to stay within to be shipped.
        probes: probe by probe, a clean chirp included, which has a bound of its own.
    """

    sha256: Sha256
    bytes: int = Field(ge=0)
    form: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    max_error: Error | None = None
    bound: Error | None = None
    probes: Mapping[Line, Agreement] = Field(default_factory=dict)


class Card(CardPart):
    """All that is known of a model.

    Attributes:
        version: of the card's form, :data:`CARD_VERSION`.
        name: the model's.
        labels: in the order of the scores.
        features: the front end.
        model: the classifier.
        scores: ``softmax``: of the labels' logits, positive, their sum is 1.
        clip: ``middle``: sound of another length than ``features.clip_length`` is cut to its middle, or gets zeros
            on both sides, the odd one at the end.
        window: the periodic Hann window of ``win_length`` samples lies in the middle of a frame of ``n_fft``.
        states: sizes of the recurrent layers' states, as the stream files take them: ``state_0`` first.
        detector: how scores of a stream become detections, unless the user says otherwise.
        parameters: trainable weights.
        macs_per_second: multiply-accumulates of the classifier for a second of sound, the front end left out.
        compact: weights are numbers of 8 bits, and forms that can be made of the others are left out.
        synthetic: some or all training data were spoken by machines.
        data: what it was trained on.
        training: how.
        figures: what it reaches.
        files: file name (``/`` between folders) -> digest, size and agreement with Keras. Empty inside a file.
        made_with: package -> version.
    """

    version: Literal[1] = CARD_VERSION
    name: Name
    labels: tuple[Label, ...] = Field(min_length=1, max_length=10_000)
    features: FeatureSettings
    model: ModelSettings
    scores: Literal["softmax"] = "softmax"
    clip: Literal["middle"] = "middle"
    window: Literal["hann_in_the_middle_of_n_fft"] = "hann_in_the_middle_of_n_fft"
    states: tuple[StateSize, ...] = Field(min_length=1, max_length=64)
    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    parameters: int = Field(ge=1)
    macs_per_second: float = Field(ge=0.0)
    compact: bool = False
    synthetic: bool
    data: tuple[DataSource, ...] = ()
    training: TrainingSummary
    figures: tuple[Figure, ...] = ()
    files: Mapping[FileName, FileEntry] = Field(default_factory=dict)
    made_with: Mapping[Line, Line] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            twice = next(label for label in self.labels if self.labels.count(label) > 1)
            raise ValueError(f"labels must differ, but {twice!r} stands twice")
        return self

    @property
    def n_steps(self) -> int:
        """Steps of the classifier over a clip; frames that don't fill the last are left out."""
        return self.features.n_frames // self.model.stack

    @property
    def step_length(self) -> int:
        """New samples that a step takes."""
        return self.model.stack * self.features.hop_length

    @property
    def kept_length(self) -> int:
        """Samples before those of a step that its first frames begin with; 0 where frames don't overlap."""
        return self.features.n_fft - self.features.hop_length

    @property
    def heard_length(self) -> int:
        """Samples of a clip that its scores depend on: what the frames of whole steps cover."""
        return self.kept_length + self.n_steps * self.step_length

    def interval_steps(self, config: DetectorConfig) -> int:
        """Steps from the start of a window to the start of the next, in *window* mode; at most a clip's."""
        step_s = self.step_length / self.features.sample_rate
        return min(self.n_steps, max(1, round(config.interval_s / step_s)))

    @classmethod
    def make(cls, **values: Any) -> Self:
        """A card of these values; :class:`ModelError` on one that isn't allowed."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ModelError(f"card: {_finding(error)}") from None
        except SettingsError as error:
            raise ModelError(f"card: {error}") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The card in a file.

        Raises:
            ModelError: no such file, too large, not JSON, another version, or a value that isn't allowed.
        """
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_CARD + 1)
        except FileNotFoundError:
            raise ModelError(f"{path} is missing, and without its card a model can't be used; {AGAIN}") from None
        except OSError as error:
            raise ModelError(f"{path} can't be read ({error.strerror}); check path and permissions") from None
        return cls.from_json(text, str(path))

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "card") -> Self:
        """The card in a text; ``where`` stands before errors. Raises as :meth:`read`."""
        if len(text) > LARGEST_CARD:
            raise ModelError(f"{where} is over {LARGEST_CARD:,} bytes, no card is; {AGAIN}")
        try:
            version = json.loads(text)["version"]
        except (KeyError, TypeError):
            raise ModelError(f"{where} is not a card: it has no version; {AGAIN}") from None
        except (ValueError, RecursionError):
            raise ModelError(f"{where} is not JSON, a card is; {AGAIN}") from None
        if version != CARD_VERSION or isinstance(version, bool):
            raise ModelError(
                f"{where} is of version {clipped(version)}, and this speech-rnn reads version {CARD_VERSION}; "
                f"{AGAIN} with this one, or install the speech-rnn that wrote it"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelError(f"{where}: {_finding(error)}; {AGAIN}") from None
        except SettingsError as error:
            raise ModelError(f"{where}: {error}") from None

    def to_json(self) -> str:
        """The card as indented JSON; ``from_json`` of it is equal to the card."""
        return self.model_dump_json(indent=2) + "\n"

    def without_files(self) -> Self:
        """The card as it stands inside a file, which can't hold its own digest."""
        return self.model_copy(update={"files": {}})

    def to_board_json(self) -> str:
        """The card as it stands in a board's file, where a kilobyte counts: without files, figures and blanks."""
        return self.model_copy(update={"files": {}, "figures": ()}).model_dump_json()

    def with_files(self, files: Mapping[str, FileEntry]) -> Self:
        """The card beside these files."""
        return self.model_copy(update={"files": dict(files)})


def read_figures(path: Path) -> tuple[Figure, ...]:
    """The figures in a file: a JSON list of them, as in a card.

    Raises:
        ModelError: the file can't be read, or something in it is no figure.
    """
    try:
        return TypeAdapter(tuple[Figure, ...]).validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); check path and permissions") from None
    except ValidationError as error:
        raise ModelError(f"{path}: {_finding(error)}; benchmarks/yardsticks.py --figures writes such a file") from None


def read_checked(folder: Path, name: str, card: Card) -> bytes:
    """The bytes of a model's file, once size and digest are those of the card.

    Raises:
        ModelError: the card or the folder doesn't have the file, or they don't agree.
    """
    path = folder / name
    entry = card.files.get(name)
    if entry is None:
        if card.compact:
            raise ModelError(
                f"{folder} is compact and has no {name!r}; "
                f"'speech-rnn export {folder} -o DIR --data RECORDINGS' makes one with every file"
            )
        known = ", ".join(card.files) or "none"
        raise ModelError(f"{folder / CARD_FILE} lists no {name!r} (files: {known}); {AGAIN}")
    try:
        with path.open("rb") as file:
            content = file.read(entry.bytes + 1)
            size = path.stat().st_size
    except FileNotFoundError:
        raise ModelError(f"{path} is missing, though its card lists it; copy the whole folder, or {AGAIN}") from None
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); check path and permissions") from None
    if size != entry.bytes:
        raise ModelError(f"{path} has {size:,} bytes, its card says {entry.bytes:,}; copy it again, or {AGAIN}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise ModelError(
            f"{path} has SHA-256 {digest[:12]}…, its card says {entry.sha256[:12]}…; it was changed or damaged: "
            f"copy it again, or {AGAIN}"
        )
    return content


def clipped(value: object) -> str:
    """A value from outside as it may stand in a message: printable, on one line, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-2:]


def _finding(error: ValidationError) -> str:
    """The first finding of pydantic: place, value, rule."""
    finding = error.errors(include_url=False)[0]
    place = clipped(".".join(str(part) for part in finding["loc"]))[1:-1]
    if finding["type"] == "extra_forbidden":
        return f"{place} is not known"
    if finding["type"] == "missing":
        return f"{place} is missing"
    rule = finding["msg"].removeprefix("Value error, ")
    if not place:
        return rule
    if finding["type"] == "value_error":
        return f"{place}: {rule}"
    rule = rule.replace("Input should be", "must be").replace("String should", "must").replace("Tuple should", "must")
    return f"{place}={clipped(finding['input'])} {rule}"

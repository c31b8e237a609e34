"""What a data set of features says of itself.

A prepared data set is a folder::

    prepared.json                    what it is; written last, so a folder that has it is whole
    rejects.jsonl                    a line for each clip that could not be read
    noise.i16                        its background noise, decoded
    keyword_features/VERSION/        what TensorFlow Datasets writes: dataset_info.json, features.json, shards

so ``tfds.builder_from_directory`` reads it too, without this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Self

from etils import epath
from pydantic import Field

from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Part, SourceRecord
from speech_rnn.data.sources import PREPARED
from speech_rnn.errors import DataError, SettingsError
from speech_rnn.settings import Settings

FORMAT_VERSION = 1
DATASET = "keyword_features"
DATASET_VERSION = "1.0.0"
RECORD = PREPARED
REJECTS = "rejects.jsonl"
NOISE = "noise.i16"
SPLITS: dict[Part, str] = {"training": "train", "validation": "validation", "testing": "test"}

Count = Annotated[int, Field(ge=0)]


class NoiseRecord(Settings):
    """A recording of background noise: its name, and samples of it in ``noise.i16``."""

    name: str
    length: Count


class PreparedRecord(Settings):
    """What a prepared data set is.

    Attributes:
        version: of this format.
        features: the front end; the shards hold its log-mel frames.
        sources: the recordings.
        words: how many clips of each word each part has.
        clips_in: clips of the sources but those left out; those in the shards and the rejects together.
        rejects: clips that could not be read.
        left_out: training clips of speakers who are in an evaluation part of another source.
        digest: SHA-256 in hexadecimal, another one when a clip or what it is called is another one; their order
            doesn't matter.
        noises: the background noise, in the order of the file.
        noise_digest: SHA-256 of it in hexadecimal.
        shards: files of each part.
        made_with: versions of the libraries.
        plan: SHA-256 in hexadecimal, another one when settings, clips, or sizes and times of the files behind them are
            others.
    """

    version: int = FORMAT_VERSION
    features: FeatureSettings
    sources: Annotated[tuple[SourceRecord, ...], Field(strict=False)]
    words: Mapping[Part, Mapping[str, Count]]
    clips_in: Count
    rejects: Count
    left_out: Count = 0
    digest: str
    noises: Annotated[tuple[NoiseRecord, ...], Field(strict=False)] = ()
    noise_digest: str = ""
    shards: Mapping[Part, Count]
    made_with: Mapping[str, str]
    plan: str = ""

    @property
    def clips(self) -> int:
        """Clips in the shards."""
        return sum(sum(words.values()) for words in self.words.values())

    @classmethod
    def read(cls, folder: str | epath.Path) -> Self:
        """The record of a data set.

        Raises:
            DataError: the folder holds none, one of another version, or a damaged one.
        """
        path = epath.Path(folder) / RECORD
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            raise DataError(
                f"{folder} holds no prepared features; give a folder that speech-rnn prepare has finished"
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} can't be read ({error}); remove the folder and prepare anew") from None
        found = values.get("version") if isinstance(values, dict) else None
        if found != FORMAT_VERSION:
            raise DataError(
                f"{path} has version {found!r}, this program reads {FORMAT_VERSION}; remove the folder and prepare anew"
            )
        try:
            return cls.from_json(json.dumps(values))
        except SettingsError as error:
            raise DataError(f"{path} is damaged: {error}; remove the folder and prepare anew") from None


def shard_paths(folder: str | epath.Path, record: PreparedRecord, part: Part) -> list[str]:
    """The files of a part, in order."""
    n = record.shards.get(part, 0)
    below = epath.Path(folder) / DATASET / DATASET_VERSION
    return [str(below / f"{DATASET}-{SPLITS[part]}.tfrecord-{i:05d}-of-{n:05d}") for i in range(n)]

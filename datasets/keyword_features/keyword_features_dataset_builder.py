"""The builder of ``keyword_features``; the work is done in :mod:`speech_rnn.prepared`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import PARTS, Part
from speech_rnn.errors import DataError
from speech_rnn.prepared.pipeline import Plan, ReadPieces
from speech_rnn.prepared.record import DATASET, DATASET_VERSION, RECORD, SPLITS, PreparedRecord


class Builder(tfds.core.GeneratorBasedBuilder):
    """Features of words from any source of recordings, made by Apache Beam.

    Args:
        plan: what to prepare; see :func:`speech_rnn.prepared.planning.plan`. Without one, a data set that is already
            in ``data_dir`` can be read.
        **arguments: as any builder takes them; ``data_dir`` is the folder that ``speech-rnn prepare`` writes to.
    """

    name = DATASET
    VERSION = tfds.core.Version(DATASET_VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {DATASET_VERSION: "Log-mel frames in 16 bits, keyed by the clip's name."}
    pkg_dir_path = epath.Path(Path(__file__).parent)

    def __init__(self, *, plan: Plan | None = None, **arguments: Any) -> None:
        self._plan = plan
        super().__init__(**arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        settings = self._settings()
        features = {
            "name": tfds.features.Text(doc="The number of the source and the clip's name in it; unique."),
            "key": tfds.features.Scalar(np.int64, doc="63 bits of the name's BLAKE2b, for draws that repeat."),
            "word": tfds.features.Text(doc="What is said."),
            "speaker": tfds.features.Text(doc="Who says it; empty where unknown."),
            "log_mel": tfds.features.Tensor(
                shape=(settings.n_frames, settings.n_mels),
                dtype=np.float16,
                encoding=tfds.features.Encoding.BYTES,
                doc="Power in mel bands, dB re full scale.",
            ),
        }
        metadata = tfds.core.MetadataDict(features=settings.model_dump(mode="json"))
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), metadata=metadata)

    def _settings(self) -> FeatureSettings:
        """Those of the plan, or of the data set that is there; the usual where there is neither."""
        if self._plan is not None:
            return self._plan.settings
        there = (self.data_dir_root / RECORD).exists()
        return PreparedRecord.read(self.data_dir_root).features if there else FeatureSettings()

    def _split_generators(self, dl_manager: Any, pipeline: Any) -> dict[str, Any]:
        del dl_manager
        if self._plan is None:
            raise DataError(f"{DATASET} needs a plan to be made; run speech-rnn prepare, or give Builder(plan=…)")
        parts = [part for part in PARTS if self._plan.of(part)]
        return {SPLITS[part]: self._generate_examples(pipeline, self._plan, part) for part in parts}

    def _generate_examples(self, pipeline: Any, plan: Plan, part: Part) -> Any:
        return pipeline | f"read {part}" >> ReadPieces(plan, part)

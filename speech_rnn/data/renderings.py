"""Renderings: training clips as other rooms, speeds and overloaded microphones would have given them.

What needs the waveform is done a fixed number of times a clip, once for all epochs, seeds and models: a rendering and
its features cost five times what bending its mel energies does.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn import audio, draws
from speech_rnn.config import AugmentationSettings
from speech_rnn.data.clips import SILENCE
from speech_rnn.data.room import N_ROOMS, reverberate
from speech_rnn.data.speed import NORMAL_SPEED, Speed, change_speed, speed_near
from speech_rnn.data.store import Store, to_int16
from speech_rnn.data.task import JUDGING_SEED

VERSION = 1  # to be raised when the same settings give other sound
_DIRECT_TO_REVERBERANT_DB = (-2.0, 12.0)
_OVERLOAD_DB = (0.0, 15.0)
_LEAST_DENOMINATOR, _GREATEST_DENOMINATOR = 50, 200


class Scene(NamedTuple):
    """How one rendering came about, in this order.

    Attributes:
        room: number of the room, or None.
        direct_to_reverberant_db: how near the speaker stands in the room.
        speed: faster and higher, or slower and lower.
        delay: share of a hop by which the clip comes later: frames begin elsewhere in it.
        overload_db: level of the loudest sample over full scale, where the microphone was overloaded; else None.
    """

    room: int | None
    direct_to_reverberant_db: float
    speed: Speed
    delay: float
    overload_db: float | None


AS_RECORDED = Scene(None, 0.0, NORMAL_SPEED, 0.0, None)


def draw_scene(number: int, clip: int, settings: AugmentationSettings) -> Scene:
    """How a clip's rendering of that number came about; number 0 is as it was recorded.

    Always the same number of draws, so that switching off one kind leaves the others as they were.
    """
    if number == 0:
        return AS_RECORDED
    draw = draws.generator(JUDGING_SEED, "rendering", number, clip).random(8).tolist()
    in_room, room, direct, has_speed, speed, delay, overloaded, overload = draw
    return Scene(
        room=int(room * N_ROOMS) if in_room < settings.room_probability else None,
        direct_to_reverberant_db=_between(_DIRECT_TO_REVERBERANT_DB, direct),
        speed=_speed(speed, settings.speed_range) if has_speed < settings.speed_probability else NORMAL_SPEED,
        delay=delay,
        overload_db=_between(_OVERLOAD_DB, overload) if overloaded < settings.overload_probability else None,
    )


def render(samples: NDArray[np.float32], scene: Scene, sample_rate: int, hop_length: int) -> NDArray[np.float32]:
    """A clip in a scene.

    Args:
        samples: float32 [samples], full scale ±1.
        scene: room, speed, delay and overload.
        sample_rate: in Hz.
        hop_length: samples from frame to frame.

    Returns:
        float32 [samples], within full scale; after a change of speed the middle of the clip is in the middle.
    """
    length = len(samples)
    if scene.room is not None:
        samples = reverberate(samples, scene.room, scene.direct_to_reverberant_db, sample_rate)
    if scene.speed != NORMAL_SPEED:
        samples = change_speed(samples, scene.speed)
    samples = _placed(samples, length, round(scene.delay * hop_length))
    peak = float(np.abs(samples).max(initial=0.0))
    if scene.overload_db is not None and peak > 0:
        # Overloaded, then as loud as before: how loud a clip is heard is drawn anew each time.
        samples = np.clip(samples * np.float32(10.0 ** (scene.overload_db / 20.0) / peak), -1.0, 1.0)
        samples *= np.float32(min(peak, 1.0))
    return np.clip(samples, -1.0, 1.0)


class Renderings:
    """All renderings of a store's training clips as rows of 16 bits, for the feature cache; picklable."""

    def __init__(self, store: Store, settings: AugmentationSettings, hop_length: int) -> None:
        """Hold the store; nothing is rendered yet."""
        self._store, self._settings, self._hop_length = store, settings, hop_length
        trained = [i for i, clip in enumerate(store.clips) if clip.part == "training" and clip.word != SILENCE]
        self._clips = np.array(trained, np.int64)
        self._row_of = np.full(len(store), -1, np.int64)
        self._row_of[self._clips] = np.arange(len(self._clips)) * settings.renderings

    def __len__(self) -> int:
        return len(self._clips) * self._settings.renderings

    @property
    def digest(self) -> str:
        """Another one when the recordings or the scenes are others."""
        names = {"renderings", "room_probability", "speed_probability", "speed_range", "overload_probability"}
        what = [VERSION, self._store.digest, self._hop_length, self._settings.model_dump(mode="json", include=names)]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def rows(self, clips: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where renderings are: int64 [n], for training clips int64 [n] and numbers from 0 int64 [n]."""
        return np.asarray(self._row_of[clips] + numbers, np.int64)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Some renderings: int16 [n, clip_length]."""
        clip_of, number_of = self._clips[indices // self._settings.renderings], indices % self._settings.renderings
        sound = self._store.read(clip_of)
        for row, clip, number in zip(sound, clip_of.tolist(), number_of.tolist(), strict=True):
            scene = draw_scene(number, clip, self._settings)
            if scene != AS_RECORDED:
                samples = row * np.float32(1 / audio.FULL_SCALE_INT16)
                row[:] = to_int16(render(samples, scene, self._store.sample_rate, self._hop_length))
        return sound


def _placed(samples: NDArray[np.float32], length: int, delay: int) -> NDArray[np.float32]:
    """Samples in the middle of ``length`` of them, then ``delay`` later; what doesn't fit is cut."""
    placed = np.zeros(length, np.float32)
    start = (length - len(samples)) // 2 + delay
    begin = min(max(start, 0), length)
    end = max(min(start + len(samples), length), begin)
    placed[begin:end] = samples[begin - start : end - start]
    return placed


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _speed(share: float, speed_range: float) -> Speed:
    """A speed from ``1 / (1 + range)`` to ``1 + range``, uniform in pitch."""
    speed = (1.0 + speed_range) ** (2 * share - 1)
    # Fine enough that a small range has speeds in it.
    finest = round(min(_GREATEST_DENOMINATOR, max(_LEAST_DENOMINATOR, 2 / speed_range))) if speed_range else 1
    return speed_near(round(1_000 * speed), finest)

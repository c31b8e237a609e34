"""What recordings can bear: looked at before training, so that a model doesn't learn what the world won't have.

Every clip is measured for level, length, clipping and doubles; a seeded sample for bandwidth.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil, floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, computed_field

from speech_rnn import audio
from speech_rnn.config import FeatureSettings
from speech_rnn.data.bandwidth import band_levels, band_width_hz, bandwidths
from speech_rnn.data.clips import PARTS, UNKNOWN, Clip, Part
from speech_rnn.draws import generator
from speech_rnn.progress import progress

# Below these a warning says so.
LEAST_CLIPS_A_WORD = 20  # for training
LEAST_DB = -60.0  # RMS; softer is as good as silent
MOST_LIMITED_SHARE = 0.05  # clips that carry nothing up to f_max
MOST_CLIPPED_SHARE = 0.1
MOST_LONG_SHARE = 0.05

_CLIPPED_SHARE_OF_SAMPLES = 0.001
_LEAST_F_MAX = 0.0625  # of the sample rate; with less there is no speech
_SPECTRA = 2_000
_BLOCK = 128
_LEVEL_STEP_DB = 3.0
_MOST_NAMED = 5


class Recordings(Protocol):
    """What is looked at; a decoded store is one."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def clip_length(self) -> int:
        """In samples."""

    @property
    def clips(self) -> Sequence[Clip]:
        """The clips."""

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Samples of each before it was padded or cut to a clip."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Some clips, int16 [n, clip_length]."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Histogram(_Record):
    """Counts of values; ``counts[n]`` are from ``low + n * step`` to below ``low + (n + 1) * step``."""

    low: float
    step: float
    counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """All values."""
        return sum(self.counts)

    def bins(self) -> list[tuple[float, int]]:
        """Lower edge and count of each bin."""
        return [(self.low + n * self.step, count) for n, count in enumerate(self.counts)]


class WordFigures(_Record):
    """Clips and speakers of one word."""

    word: str
    clips: dict[Part, int]
    speakers: int


class Double(_Record):
    """Clips with identical sound."""

    names: tuple[str, ...]
    words: int
    parts: int


class Inspection(_Record):
    """What some recordings are.

    Attributes:
        sample_rate: in Hz, after decoding.
        clip_length: in samples.
        f_max: up to where features are going to look, Hz.
        clips: how many, in each part.
        words: by word, in order.
        speakers: how many, in each part; unknown ones don't count.
        speakers_in_two_parts: how many are in more than one; the given lists say so, the usual rule never does.
        speaker_unknown: clips without one.
        clips_per_speaker: how many speakers have how many clips, as pairs (clips, speakers).
        level_db: RMS of the clips in dB re full scale, padding left out; digital silence is in no bin.
        silent: clips softer than -60 dB re full scale.
        clipped: clips with a thousandth or more of the samples at full scale.
        short: clips that were padded.
        long: clips that were cut.
        shortest_s: the shortest in seconds.
        longest_s: the longest in seconds.
        doubles: clips with identical sound.
        bandwidth_hz: up to where clips carry sound, of those in the sample that are loud and long enough; the values
            are the lower edges of the bins.
    """

    model_config = ConfigDict(extra="ignore")  # JSON holds what is computed, too

    sample_rate: int
    clip_length: int
    f_max: float
    clips: dict[Part, int]
    words: tuple[WordFigures, ...]
    speakers: dict[Part, int]
    speakers_in_two_parts: int
    speaker_unknown: int
    clips_per_speaker: tuple[tuple[int, int], ...]
    level_db: Histogram
    silent: int
    clipped: int
    short: int
    long: int
    shortest_s: float
    longest_s: float
    doubles: tuple[Double, ...]
    bandwidth_hz: Histogram

    @property
    def n_clips(self) -> int:
        """All clips."""
        return sum(self.clips.values())

    @property
    def n_speakers(self) -> int:
        """All speakers that are known."""
        return sum(speakers for _, speakers in self.clips_per_speaker)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def suggested_f_max(self) -> float:
        """Up to where features should look: ``f_max``, or less where more than a twentieth of the clips carry less.

        In whole hundreds of Hz.
        """
        reached = 0
        for width, count in self.bandwidth_hz.bins():
            reached += count
            if reached > MOST_LIMITED_SHARE * self.bandwidth_hz.n:
                carried = 100.0 * floor(width / 100.0)
                return min(self.f_max, max(carried, _LEAST_F_MAX * self.sample_rate))
        return self.f_max

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong and what to do about it, a sentence each."""
        return (*_word_warnings(self), *_speaker_warnings(self), *_sound_warnings(self))

    def at(self, f_max: float) -> Inspection:
        """The same recordings under features that look up to ``f_max`` Hz."""
        return self.model_copy(update={"f_max": f_max})

    def to_json(self) -> str:
        """All of it as indented JSON, warnings included."""
        return self.model_dump_json(indent=2)


def inspect(recordings: Recordings, settings: FeatureSettings, *, seed: int = 0) -> Inspection:
    """Look at recordings before training on them.

    Args:
        recordings: one clip or more.
        settings: of the features; ``f_max`` says what bandwidth is wanted.
        seed: of the sample that is measured for bandwidth.
    """
    rate = recordings.sample_rate
    measured = _measure(recordings)
    by_part = {part: [clip for clip in recordings.clips if clip.part == part] for part in PARTS}
    per_speaker = Counter(clip.speaker for clip in recordings.clips if clip.speaker)
    parts_of_speaker = Counter(speaker for speaker, _ in {(c.speaker, c.part) for c in recordings.clips if c.speaker})
    return Inspection(
        sample_rate=rate,
        clip_length=recordings.clip_length,
        f_max=settings.f_max,
        clips={part: len(clips) for part, clips in by_part.items()},
        words=_words(recordings.clips),
        speakers={part: len({clip.speaker for clip in clips} - {""}) for part, clips in by_part.items()},
        speakers_in_two_parts=sum(parts > 1 for parts in parts_of_speaker.values()),
        speaker_unknown=sum(not clip.speaker for clip in recordings.clips),
        clips_per_speaker=tuple(sorted(Counter(per_speaker.values()).items())),
        level_db=_histogram(measured.level_db[np.isfinite(measured.level_db)], _LEVEL_STEP_DB, low=-102.0, high=0.0),
        silent=int(np.sum(measured.level_db < LEAST_DB)),
        clipped=int(np.sum(measured.n_at_full_scale >= _CLIPPED_SHARE_OF_SAMPLES * measured.n_samples)),
        short=int(np.sum(recordings.lengths < recordings.clip_length)),
        long=int(np.sum(recordings.lengths > recordings.clip_length)),
        shortest_s=int(recordings.lengths.min()) / rate,
        longest_s=int(recordings.lengths.max()) / rate,
        doubles=_doubles(recordings, measured),
        bandwidth_hz=_histogram(_bandwidths(recordings, measured, seed), band_width_hz(rate), low=0.0, high=rate / 2),
    )


class _Measured:
    """Figures of every clip: RMS level in dB re full scale, samples at full scale, samples that are not padding."""

    def __init__(self, n_samples: NDArray[np.int64]) -> None:
        self.n_samples = n_samples
        self.energy = np.zeros(len(n_samples))
        self.n_at_full_scale = np.zeros(len(n_samples), np.int64)

    @property
    def level_db(self) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            power = self.energy / np.maximum(self.n_samples, 1)
            return np.asarray(10.0 * np.log10(power / audio.FULL_SCALE_INT16**2))


def _measure(recordings: Recordings) -> _Measured:
    measured = _Measured(np.minimum(recordings.lengths, recordings.clip_length).astype(np.int64))
    with progress("looking at the clips", len(recordings.clips)) as report:
        for start in range(0, len(recordings.clips), _BLOCK):
            block = slice(start, min(start + _BLOCK, len(recordings.clips)))
            rows = recordings.read(np.arange(block.start, block.stop))
            samples = rows.astype(np.float32)
            measured.energy[block] = np.vecdot(samples, samples)
            at_full_scale = (rows == audio.FULL_SCALE_INT16 - 1) | (rows == -audio.FULL_SCALE_INT16)
            measured.n_at_full_scale[block] = np.count_nonzero(at_full_scale, axis=1)
            report.advance(len(rows))
    return measured


def _bandwidths(recordings: Recordings, measured: _Measured, seed: int) -> NDArray[np.float64]:
    """Bandwidths in Hz of a sample of the clips, those without an answer left out."""
    heard = np.flatnonzero(measured.level_db >= LEAST_DB)
    if len(heard) > _SPECTRA:
        heard = np.sort(generator(seed, "clips for bandwidth").choice(heard, _SPECTRA, replace=False))
    blocks = [heard[start : start + _BLOCK] for start in range(0, len(heard), _BLOCK)]
    levels = [band_levels(recordings.read(b), recordings.lengths[b], recordings.sample_rate) for b in blocks]
    if not levels:
        return np.zeros(0)
    widths = bandwidths(np.concatenate(levels), recordings.sample_rate)
    return widths[~np.isnan(widths)]


def _words(clips: Sequence[Clip]) -> tuple[WordFigures, ...]:
    counts: dict[str, Counter[Part]] = defaultdict(Counter)
    speakers: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        counts[clip.word][clip.part] += 1
        speakers[clip.word].add(clip.speaker)
    return tuple(
        WordFigures(word=word, clips={part: counts[word][part] for part in PARTS}, speakers=len(speakers[word] - {""}))
        for word in sorted(counts)
    )


def _doubles(recordings: Recordings, measured: _Measured) -> tuple[Double, ...]:
    """Clips with identical sound; only those of equal energy are read again."""
    candidates: dict[tuple[float, int], list[int]] = defaultdict(list)
    for index, energy in enumerate(measured.energy.tolist()):
        if energy > 0:
            candidates[energy, int(measured.n_samples[index])].append(index)
    same: dict[bytes, list[Clip]] = defaultdict(list)
    for indices in candidates.values():
        if len(indices) > 1:
            for index, row in zip(indices, recordings.read(np.array(indices, np.int64)), strict=True):
                same[hashlib.sha256(row.tobytes()).digest()].append(recordings.clips[index])
    return tuple(
        Double(
            names=tuple(clip.name for clip in clips),
            words=len({clip.word for clip in clips}),
            parts=len({clip.part for clip in clips}),
        )
        for clips in same.values()
        if len(clips) > 1
    )


def _histogram(values: NDArray[np.float64], step: float, *, low: float, high: float) -> Histogram:
    """Counts of values; those outside fall into the first and the last bin."""
    n_bins = ceil((high - low) / step) + 1
    bins = np.clip(np.floor((values - low) / step), 0, n_bins - 1).astype(np.int64)
    return Histogram(low=low, step=step, counts=tuple(np.bincount(bins, minlength=n_bins).tolist()))


def _word_warnings(inspection: Inspection) -> list[str]:
    warnings = []
    words = [word for word in inspection.words if word.word != UNKNOWN]
    few = [
        f"{word.word!r} ({word.clips['training']})" for word in words if 0 < word.clips["training"] < LEAST_CLIPS_A_WORD
    ]
    if few:
        warnings.append(
            f"fewer than {LEAST_CLIPS_A_WORD} clips for training of {_named(few)}: record more of them, "
            "from more people if you can"
        )
    for part in PARTS:
        missing = [repr(word.word) for word in words if not word.clips[part]]
        if not inspection.clips[part]:
            if part != "testing":
                warnings.append(f"no clips for {part}: add recordings of further speakers, or a {part}_list.txt")
        elif missing:
            warnings.append(
                f"no clip for {part} of {_named(missing)}: record more speakers of these words, or leave the words out "
                "with --labels"
            )
    return warnings


def _speaker_warnings(inspection: Inspection) -> list[str]:
    if inspection.speaker_unknown == inspection.n_clips:
        return [
            "no speaker is known, so the same voice may be in training and validation and figures may flatter: name "
            "files <speaker>_nohash_<number>.wav"
        ]
    if inspection.n_speakers == 1 and not inspection.speaker_unknown:
        return [
            "all clips are from one speaker, so figures say nothing of other voices: record more people, or expect it "
            "to understand this one only"
        ]
    if inspection.speakers_in_two_parts:
        return [
            f"{inspection.speakers_in_two_parts} of {inspection.n_speakers} speakers are in more than one part by the "
            "lists, so figures say how well these voices are heard, not others: keep each speaker in one list, or read "
            "them so"
        ]
    return []


def _sound_warnings(inspection: Inspection) -> list[str]:
    warnings = []
    n_clips = inspection.n_clips
    if inspection.suggested_f_max < inspection.f_max:
        limited = [(width, count) for width, count in inspection.bandwidth_hz.bins() if width < inspection.f_max]
        share = sum(count for _, count in limited) / inspection.bandwidth_hz.n
        warnings.append(
            f"{_percent(share)} of the clips carry nothing above {_median(limited):,.0f} Hz, while features look up to "
            f"{inspection.f_max:,.0f} Hz; a model trained so fails on full-band sound: set "
            f"--f-max {inspection.suggested_f_max:.0f} or --f-max auto"
        )
    if inspection.clipped > MOST_CLIPPED_SHARE * n_clips:
        warnings.append(
            f"{_percent(inspection.clipped / n_clips)} of the clips are clipped: record softer, with less gain at the "
            "microphone"
        )
    if inspection.long > MOST_LONG_SHARE * n_clips:
        warnings.append(
            f"{_percent(inspection.long / n_clips)} of the clips are longer than "
            f"{inspection.clip_length / inspection.sample_rate:g} s (up to {inspection.longest_s:.1f} s) and lose "
            "their ends: cut them around the word"
        )
    if inspection.silent:
        warnings.append(
            f"{_clips(inspection.silent)} softer than {LEAST_DB:.0f} dB re full scale, as good as silent: listen and "
            "remove what holds no word"
        )
    if inspection.doubles:
        warnings.append(_doubles_warning(inspection.doubles))
    return warnings


def _doubles_warning(doubles: Sequence[Double]) -> str:
    across = sum(double.parts > 1 for double in doubles)
    contradicting = sum(double.words > 1 for double in doubles)
    extra = "".join(
        f", {n} of them {what}" for n, what in ((across, "in two parts"), (contradicting, "under two words")) if n
    )
    pairs = [" = ".join(map(repr, double.names[:3])) for double in doubles]
    return (
        f"{_clips(len(doubles))} there under more than one name{extra} ({_named(pairs, most=2)}): remove all but one "
        "of each"
    )


def _clips(n: int) -> str:
    return "1 clip is" if n == 1 else f"{n:,} clips are"


def _median(bins: Sequence[tuple[float, int]]) -> float:
    """The value in the middle of sorted values, given as pairs (value, count)."""
    return float(np.repeat([value for value, _ in bins], [count for _, count in bins])[sum(n for _, n in bins) // 2])


def _named(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    """The first few of some names."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1f} %"

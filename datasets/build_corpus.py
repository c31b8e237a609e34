"""Build the embedded corpus: words spoken by espeak-ng and flite, and background noise.

    python -m datasets.build_corpus --output datasets/corpus

With the same versions of the tools the same files come out, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from datasets import espeak, flite, noises, opus
from datasets.espeak import SAMPLE_RATE
from datasets.voices import ACCENTS, ESPEAK_VARIANTS, FLITE_TURNS, WORDS, Voice, takes_of, voices_of
from speech_rnn.atomic import new_folder
from speech_rnn.data.clips import BACKGROUND_NOISE, PARTS, Part
from speech_rnn.draws import generator

INDEX_VERSION = 1
LICENSE = "Apache-2.0"
SPEECH_BITS_PER_S = 16_500
NOISE_BITS_PER_S = 14_000
# Between two words of a file, so that one doesn't ring into the next.
GAP = 320  # 20 ms
MAX_WORD_S = 0.85
# Opus overshoots loud words by up to a fifth.
MAX_PEAK = 0.7


@dataclass(frozen=True, slots=True)
class Take:
    """One clip to be made.

    Attributes:
        word: what is said.
        part: where it goes.
        voice: who says it.
        utterance: how it is said.
        level_db: RMS of the trimmed word in dBFS, less where its peak would go beyond ``MAX_PEAK``.
        tilt_db: of the spectrum, dB an octave, as microphones have it.
        lead_s: what is kept before the word, in seconds.
        tail_s: what is kept behind it.
    """

    word: str
    part: Part
    voice: Voice
    utterance: espeak.Utterance | flite.Utterance
    level_db: float
    tilt_db: float
    lead_s: float
    tail_s: float


def plan(seed: int, words: Sequence[str], *, max_takes: int | None, with_flite: bool) -> list[Take]:
    """All clips, by part, word and turn. Each word is said by each voice of a part before one says it again."""
    takes = []
    for part_number, part in enumerate(PARTS):
        for word in words:
            key = (part_number, WORDS.index(word))
            turns = [
                voice
                for voice in voices_of(part, flite=with_flite)
                for _ in range(FLITE_TURNS[part] if voice.engine == "flite" else 1)
            ]
            generator(seed, "turns", *key).shuffle(turns)
            n_takes = min(takes_of(word, part), max_takes or sys.maxsize)
            takes += [
                _take(word, part, turns[turn % len(turns)], generator(seed, "take", *key, turn))
                for turn in range(n_takes)
            ]
    return takes


def _take(word: str, part: Part, voice: Voice, rng: np.random.Generator) -> Take:
    utterance: espeak.Utterance | flite.Utterance
    if voice.engine == "espeak":
        utterance = espeak.Utterance(
            text=word,
            accent=ACCENTS[rng.integers(len(ACCENTS))],
            rate=int(rng.integers(120, 201)),
            pitch=int(rng.integers(25, 76)),
            pitch_range=int(rng.integers(20, 81)),
            seed=int(rng.integers(1, 2**31)),
            max_s=MAX_WORD_S,
        )
    else:
        utterance = flite.Utterance(
            text=word,
            voice=voice.name,
            stretch=float(rng.uniform(0.75, 1.4)),
            pitch=float(2.0 ** rng.uniform(-0.4, 0.4)),
        )
    return Take(
        word=word,
        part=part,
        voice=voice,
        utterance=utterance,
        level_db=float(rng.uniform(-35.0, -12.0)),
        tilt_db=float(rng.uniform(-1.5, 1.5)),
        lead_s=float(rng.uniform(0.005, 0.03)),
        tail_s=float(rng.uniform(0.02, 0.08)),
    )


def speak(takes: Sequence[Take], workers: int) -> list[NDArray[np.float32]]:
    """What was said for each take, as the engine gives it: float32 [samples] at 16 kHz."""
    of_voice: dict[str, list[int]] = defaultdict(list)
    of_flite: list[int] = []
    for i, take in enumerate(takes):
        if isinstance(take.utterance, espeak.Utterance):
            of_voice[take.voice.name].append(i)
        else:
            of_flite.append(i)
    spoken: dict[int, NDArray[np.float32]] = {}
    requests = [
        (name, [u for i in rows if isinstance(u := takes[i].utterance, espeak.Utterance)])
        for name, rows in of_voice.items()
    ]
    for rows, results in zip(of_voice.values(), espeak.speak(requests, workers), strict=True):
        spoken.update(zip(rows, results, strict=True))
    with ThreadPoolExecutor(workers) as pool:
        utterances = [u for i in of_flite if isinstance(u := takes[i].utterance, flite.Utterance)]
        spoken.update(zip(of_flite, pool.map(flite.speak, utterances), strict=True))
    return [spoken[i] for i in range(len(takes))]


def finish(spoken: NDArray[np.float32], take: Take) -> NDArray[np.float32]:
    """The word alone, at its level and with its tilt: float32 [samples], peak at most ``MAX_PEAK``."""
    tilted = _tilt(spoken, take.tilt_db)
    loud = np.flatnonzero(np.abs(tilted) > 0.01 * np.abs(tilted).max())
    start = max(0, int(loud[0]) - round(take.lead_s * SAMPLE_RATE))
    end = min(len(tilted), int(loud[-1]) + 1 + round(take.tail_s * SAMPLE_RATE))
    word = tilted[start:end]
    gain = 10.0 ** (take.level_db / 20.0) / np.sqrt(np.mean(np.square(word)))
    return np.asarray(word * min(gain, MAX_PEAK / np.abs(word).max()), np.float32)


def _tilt(samples: NDArray[np.float32], tilt_db: float) -> NDArray[np.float32]:
    n_fft = 2 ** (2 * len(samples)).bit_length()
    spectrum = np.fft.rfft(samples, n_fft)
    hz = np.fft.rfftfreq(n_fft, 1.0 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(hz, 100.0) / 1_000.0)
    return np.fft.irfft(spectrum * 10.0 ** (tilt_db * octaves / 20.0))[: len(samples)].astype(np.float32)


def write_words(
    folder: Path, takes: Sequence[Take], spoken: Sequence[NDArray[np.float32]], workers: int
) -> list[dict[str, Any]]:
    """A file a part and word; what the index says of each."""
    groups: dict[tuple[Part, str], list[int]] = defaultdict(list)
    for i, take in enumerate(takes):
        groups[take.part, take.word].append(i)

    def write(part: Part, word: str, rows: Sequence[int]) -> dict[str, Any]:
        clips = [finish(spoken[i], takes[i]) for i in rows]
        lengths = [len(clip) for clip in clips]
        starts = np.cumsum([GAP, *(length + GAP for length in lengths)])[:-1].tolist()
        samples = np.zeros(starts[-1] + lengths[-1] + GAP, np.float32)
        for start, clip in zip(starts, clips, strict=True):
            samples[start : start + len(clip)] = clip
        entry = {"part": part, "word": word, **_write(folder, f"{part}/{word}.opus", samples, SPEECH_BITS_PER_S)}
        return entry | {"speakers": [takes[i].voice.speaker for i in rows], "starts": starts, "lengths": lengths}

    # Threads, since libsndfile encodes without the GIL.
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda group: write(group[0][0], group[0][1], group[1]), groups.items()))


def write_noises(folder: Path, seed: int, seconds: float, n_babble_voices: int, workers: int) -> list[dict[str, Any]]:
    """The background noise; what the index says of each recording."""
    n = round(seconds * SAMPLE_RATE)

    def write(name: str, samples: NDArray[np.float32]) -> dict[str, Any]:
        rng = generator(seed, "noise level", zlib.crc32(name.encode()))
        gain = 10.0 ** (rng.uniform(-30.0, -18.0) / 20.0) / samples.std()
        samples = (samples * min(gain, MAX_PEAK / np.abs(samples).max())).astype(np.float32)
        return {"name": name, **_write(folder, f"{BACKGROUND_NOISE}/{name}.opus", samples, NOISE_BITS_PER_S)}

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda noise: write(noise[0], noise[1]), _noises(seed, n, n_babble_voices, workers)))


def _noises(seed: int, n: int, n_babble_voices: int, workers: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number, (name, make) in enumerate(noises.GENERATED.items()):
        yield name, make(generator(seed, "noise", number), n)
    rng = generator(seed, "babble")
    # Training voices only: noise must not teach the others.
    variants = rng.choice(ESPEAK_VARIANTS["training"], n_babble_voices, replace=False).tolist()
    requests = []
    for variant in variants:
        text = " ".join(rng.permutation(noises.BABBLE_TEXT)[:4].tolist())
        accent = ACCENTS[rng.integers(len(ACCENTS))]
        requests.append((variant, [espeak.Utterance(text, accent, 170, 50, 50, int(rng.integers(1, 2**31)))]))
    yield "babble", noises.babble(rng, n, [spoken[0] for spoken in espeak.speak(requests, workers)])


def _write(folder: Path, path: str, samples: NDArray[np.float32], bits_per_s: int) -> dict[str, Any]:
    # The stream's number: any, but always the same for the same file.
    data = opus.encode(samples, SAMPLE_RATE, bits_per_s=bits_per_s, serial=zlib.crc32(path.encode()))
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return {"path": path, "samples": len(samples), "sha256": hashlib.sha256(data).hexdigest()}


def index_text(index: dict[str, Any]) -> str:
    """The index as JSON, a line a file."""

    def lines(entries: list[dict[str, Any]]) -> str:
        return ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)

    head = {key: value for key, value in index.items() if key not in ("files", "noises")}
    opened = json.dumps(head, indent=1).removesuffix("\n}")
    return f'{opened},\n "files": [\n{lines(index["files"])}\n],\n "noises": [\n{lines(index["noises"])}\n]\n}}\n'


def build(
    output: Path,
    *,
    seed: int = 0,
    words: Sequence[str] = WORDS,
    max_takes: int | None = None,
    noise_s: float = 20.0,
    n_babble_voices: int = 8,
    with_flite: bool = True,
    workers: int = 1,
) -> None:
    """Build a corpus; ``output`` is replaced when all is done.

    Args:
        output: the folder.
        seed: of all draws.
        words: which of :data:`WORDS`.
        max_takes: at most so many clips of a word in a part.
        noise_s: seconds of each background noise.
        n_babble_voices: how many speak in the babble.
        with_flite: whether flite's voices speak too.
        workers: processes; the files do not depend on it.
    """
    takes = plan(seed, words, max_takes=max_takes, with_flite=with_flite)
    spoken = speak(takes, workers)
    made_with = {
        "espeak-ng": espeak.version(),
        "libsndfile": soundfile.__libsndfile_version__,
        "numpy": np.__version__,
    } | ({"flite": flite.version()} if with_flite else {})
    engines = "espeak-ng and flite" if with_flite else "espeak-ng"
    with new_folder(output, replace=True) as folder:
        index = {
            "version": INDEX_VERSION,
            "origin": f"synthetic: words spoken by {engines}, noise made by formula ({LICENSE})",
            "sample_rate": SAMPLE_RATE,
            "seed": seed,
            "made_with": made_with,
            "files": write_words(folder, takes, spoken, workers),
            "noises": write_noises(folder, seed, noise_s, n_babble_voices, workers),
        }
        (folder / "index.json").write_text(index_text(index), encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Build the embedded corpus of synthetic speech.")
    parser.add_argument("--output", type=Path, required=True, help="the folder; replaced when all is done")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", nargs="+", choices=WORDS, default=list(WORDS), metavar="WORD")
    parser.add_argument("--max-takes", type=int, help="at most so many clips of a word in a part")
    parser.add_argument("--noise-s", type=float, default=20.0, help="seconds of each background noise")
    parser.add_argument("--without-flite", action="store_true")
    arguments = parser.parse_args()
    if not arguments.without_flite and not flite.found():
        parser.error("flite isn't installed; apt-get install flite, or build --without-flite")
    build(
        arguments.output,
        seed=arguments.seed,
        words=arguments.words,
        max_takes=arguments.max_takes,
        noise_s=arguments.noise_s,
        with_flite=not arguments.without_flite,
        workers=os.cpu_count() or 1,
    )
    size = sum(file.stat().st_size for file in arguments.output.rglob("*") if file.is_file())
    index = json.loads((arguments.output / "index.json").read_text(encoding="utf-8"))
    n_clips = sum(len(entry["starts"]) for entry in index["files"])
    print(f"{n_clips} clips and {len(index['noises'])} noises in {arguments.output}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

"""The recordings that ``pack`` wrote, on the device, and which of them an epoch hears."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.lib.npyio import NpzFile

from benchmarks.gpu.plan import PhasePlan
from benchmarks.gpu.spectrograms import decode

SILENCE, UNKNOWN = 0, 1  # labels; the words follow


@dataclass(frozen=True)
class Noise:
    """Background noise, one recording behind the other.

    Attributes:
        frames: float32 [frames, bands], dB; how loud a recording is means nothing.
        level: float32 [frames], RMS level of the sound that each is of, dB re full scale, on the same footing.
        starts: int64 [recordings], where each begins.
        lengths: int64 [recordings], frames.
        recorded: int64 [n], which are recordings.
        generated: int64 [n], which are generated.
        generated_share: how often a generated one is heard.
    """

    frames: torch.Tensor
    level: torch.Tensor
    starts: torch.Tensor
    lengths: torch.Tensor
    recorded: torch.Tensor
    generated: torch.Tensor
    generated_share: float

    @classmethod
    def load(cls, arrays: NpzFile, device: torch.device) -> Self:
        """Read what ``pack`` wrote."""
        lengths, generated = arrays["noise_lengths"], arrays["noise_generated"].astype(bool)
        return cls(
            frames=torch.tensor(arrays["noise"].astype(np.float32), device=device),
            level=torch.tensor(arrays["noise_level"].astype(np.float32), device=device),
            starts=torch.tensor(np.cumsum(lengths) - lengths, device=device),
            lengths=torch.tensor(lengths, device=device),
            recorded=torch.tensor(np.flatnonzero(~generated & (lengths > 0)), device=device),
            generated=torch.tensor(np.flatnonzero(generated & (lengths > 0)), device=device),
            generated_share=float(arrays["generated_share"]),
        )


@dataclass(frozen=True)
class Validation:
    """What the learners are judged by.

    Attributes:
        log_mel: float32 [clips, frames, bands], dB.
        label: int64 [clips].
        is_true: bool [clips], whether a clip is a true recording, not rebuilt.
    """

    log_mel: torch.Tensor
    label: torch.Tensor
    is_true: torch.Tensor


@dataclass(frozen=True)
class Bundle:
    """The recordings.

    Attributes:
        labels: silence, unknown, then the wanted words.
        words: all words of the project's own recordings.
        clips: float16 [clips, frames, bands], dB: the project's own, then words of another language.
        rendered: float16 [own clips, frames, bands], dB: the own ones in another room, at another speed.
        word: int64 [clips], index into ``words``; beyond them for another language.
        label: int64 [clips], index into ``labels``.
        is_true: bool [clips], whether an own clip is a true recording, not rebuilt.
        noise: in the background.
        cosines: float32 [bands, coefficients]: log-mels to MFCC.
        edges_hz: float64 [bands + 2]: where each band begins, is highest and ends.
        validation: what the learners are judged by.
    """

    labels: tuple[str, ...]
    words: tuple[str, ...]
    clips: torch.Tensor
    rendered: torch.Tensor
    word: torch.Tensor
    label: torch.Tensor
    is_true: torch.Tensor
    noise: Noise
    cosines: torch.Tensor
    edges_hz: torch.Tensor
    validation: Validation

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Read what ``pack`` wrote; spectrograms are decoded once, and kept beside."""
        with np.load(folder / "recorded.npz") as recorded, np.load(folder / "others.npz") as others:
            own = _decoded(recorded, "recorded", folder, device)
            foreign = _decoded(others, "arabic", folder, device)
            labels, words = (tuple(recorded[name].tolist()) for name in ("labels", "words"))
            word = np.concatenate([recorded["word"].astype(np.int64), np.full(len(foreign), len(words))])
            label_of_word = [labels.index(one) if one in labels else UNKNOWN for one in words] + [UNKNOWN]
            is_true = np.concatenate([recorded["true"], np.zeros(len(foreign), bool)])
            return cls(
                labels=labels,
                words=words,
                clips=torch.cat([own, foreign]),
                rendered=_decoded(others, "rendered", folder, device),
                word=torch.tensor(word, device=device),
                label=torch.tensor(np.array(label_of_word)[word], device=device),
                is_true=torch.tensor(is_true, device=device),
                noise=Noise.load(recorded, device),
                cosines=torch.tensor(recorded["cosines"], device=device),
                edges_hz=torch.tensor(recorded["edges_hz"], device=device),
                validation=Validation(
                    log_mel=_decoded(others, "validation", folder, device).float(),
                    label=torch.tensor(others["validation_label"], device=device),
                    is_true=torch.tensor(others["validation_true"], device=device),
                ),
            )

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.clips.device

    def labels_of(self, clips: torch.Tensor) -> torch.Tensor:
        """Labels of some clips, int64 [n]; -1 is a stretch of noise."""
        return torch.where(clips < 0, SILENCE, self.label[clips.clamp(min=0)])


class Items:
    """What a phase hears, epoch after epoch.

    Attributes:
        partners: int64 [n], clips that may be heard beside others, and whose halves may make an unknown word.
        mixture: how many clips of each an epoch hears.
    """

    def __init__(self, bundle: Bundle, plan: PhasePlan) -> None:
        """Find the clips.

        Raises:
            ValueError: the plan leaves out a word that isn't there.
        """
        missing = [word for word in plan.left_out if word not in bundle.words]
        if missing:
            raise ValueError(f"left_out names {', '.join(missing)}, of which there are no clips")
        left_out = torch.tensor(sorted(map(bundle.words.index, plan.left_out)), dtype=torch.int64, device=bundle.device)
        is_own = torch.arange(len(bundle.clips), device=bundle.device) < len(bundle.rendered)
        is_heard = is_own & ~torch.isin(bundle.word, left_out)
        wanted = _rows(is_own & (bundle.label > UNKNOWN))
        self._wanted = torch.cat([wanted, *[wanted[bundle.is_true[wanted]]] * plan.true_again])
        self._unknown = _rows(is_heard & (bundle.label == UNKNOWN))
        self._foreign = _rows(~is_own)
        self.partners = _rows(is_heard)
        self.mixture = plan.mixture(len(self._wanted))

    def __len__(self) -> int:
        return sum(self.mixture)

    def epoch(self) -> torch.Tensor:
        """The clips of an epoch in their order: int64 [n], -1 for a stretch of noise."""
        clips = torch.cat(
            [
                self._wanted,
                _drawn(self._unknown, self.mixture.unknown),
                _drawn(self._foreign, self.mixture.foreign),
                torch.full((self.mixture.silence,), -1, device=self._wanted.device),
            ]
        )
        return clips[torch.randperm(len(clips), device=clips.device)]


def _decoded(arrays: NpzFile, name: str, folder: Path, device: torch.device) -> torch.Tensor:
    """Spectrograms of a file, from what an earlier call has kept in the folder."""
    path = folder / f"{name}.pt"
    if not path.exists():
        coded = {key.removeprefix(f"{name}/"): arrays[key] for key in arrays.files if key.startswith(f"{name}/")}
        torch.save(decode(coded, device).cpu(), path)
    return torch.load(path).to(device)


def _drawn(pool: torch.Tensor, n: int) -> torch.Tensor:
    """``n`` of a pool; each as often as the others, give or take one."""
    rounds = [pool[torch.randperm(len(pool), device=pool.device)] for _ in range(-(-n // len(pool)))]
    return torch.cat([*rounds, pool[:0]])[:n]


def _rows(which: torch.Tensor) -> torch.Tensor:
    return torch.nonzero(which)[:, 0]

"""Trains networks by a plan, on a GPU.

    python -m benchmarks.gpu.train BUNDLE [PLAN.json OUT] [--graphs]

A plan is a list of phases. The learners of a phase hear the same clips at the same time; where it has teachers, they
learn from the mean of their scores too. Each phase leaves OUT/PHASE.npz, of which ``unpack`` makes runs, and in which
later plans find their teachers. BUNDLE is what ``pack`` wrote; without a plan it is decoded, and that is all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from benchmarks.gpu.bending import Bender
from benchmarks.gpu.bundle import SILENCE, UNKNOWN, Bundle, Items, Validation
from benchmarks.gpu.learner import FrontEnd, Learner, Model
from benchmarks.gpu.networks import Inputs, build, set_weights, weights_of
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.plan import PhasePlan, Plan

CLIPS_AT_ONCE = 4_096  # that are bent: the GPU is too fast for few
JUDGED_AT_ONCE = 1_024
TAUGHT_AT_ONCE = 2_048
MEASURED_CLIPS = 1_000  # four times as many decide on the normalization


class Batch(NamedTuple):
    """What is learned from at a time: inputs, and float32 [batch, labels], rows that add up to 1."""

    inputs: Inputs
    targets: torch.Tensor


class Phase:
    """A phase of a plan."""

    def __init__(self, plan: PhasePlan, bundle: Bundle, teachers: Sequence[Model], *, graphs: bool = False) -> None:
        """Draw the weights of the learners.

        Args:
            plan: what is trained, and how.
            bundle: the recordings.
            teachers: those that the plan names.
            graphs: whether the steps of recurrent networks are recorded as CUDA graphs.

        Raises:
            ValueError: an epoch has fewer clips than are bent at once, or the plan leaves out a word that isn't there.
        """
        self.began = time.monotonic()
        torch.manual_seed(plan.seed)
        self.plan, self.bundle, self.teachers = plan, bundle, teachers
        self.items = Items(bundle, plan)
        self.clips_at_once = plan.batch * max(1, CLIPS_AT_ONCE // plan.batch)
        if len(self.items) < self.clips_at_once:
            raise ValueError(f"an epoch of {len(self.items):,} clips is too short; {self.clips_at_once:,} are needed")
        self.bender = Bender(bundle, self.items.partners, plan.bending)
        self.front_end = self._measured_front_end()
        self.learners = [Learner(one, len(bundle.labels), bundle.device, graph=graphs) for one in plan.learners]
        self.streams = [learner.stream for learner in self.learners if learner.stream is not None]
        self.n_steps = 0
        self.seconds = 0.0

    def learn(self) -> None:
        """Train all learners to the end of the phase."""
        started = time.monotonic()
        for batches, made in self._made_ahead():
            for stream in self.streams:
                stream.wait_event(made)
            is_over = self._hear(batches, started)
            # The memory of these batches is used again, but not before all learners have heard them.
            for stream in self.streams:
                torch.cuda.current_stream().wait_stream(stream)
            if is_over:
                break
        if self.streams:
            torch.cuda.synchronize()
        self.seconds = time.monotonic() - self.began
        for learner in self.learners:
            learner.network.eval()

    def models(self) -> dict[str, Model]:
        """What has been trained, by the learners' names."""
        return {learner.plan.name: Model(learner.network, self.front_end) for learner in self.learners}

    def outcome(self) -> Outcome:
        """The weights, and how good they are."""
        validation = self.bundle.validation
        figures: dict[str, Any] = {
            "phase": self.plan.name,
            "steps": self.n_steps,
            "clips": self.n_steps * self.plan.batch,
            "clips_an_epoch": len(self.items),
            "seconds": round(self.seconds, 1),
        }
        scores = []
        for learner, model in zip(self.learners, self.models().values(), strict=True):
            with torch.no_grad():
                scores.append(torch.cat([model.scores(some) for some in validation.log_mel.split(JUDGED_AT_ONCE)]))
            figures[learner.plan.name] = {
                "loss": round(learner.mean_loss(), 4),
                **accuracies(scores[-1], validation),
            }
        if len(scores) > 1:
            figures["together"] = accuracies(torch.stack(scores).mean(0), validation)
        return Outcome(
            phase=self.plan,
            labels=self.bundle.labels,
            mean=self.front_end.mean.cpu().numpy(),
            variance=self.front_end.variance.cpu().numpy(),
            weights={learner.plan.name: weights_of(learner.network) for learner in self.learners},
            figures=figures,
            torch=str(torch.__version__),
        )

    def _measured_front_end(self) -> FrontEnd:
        """The normalization, from clips as they will be heard."""
        cosines = self.bundle.cosines
        with torch.no_grad():
            mfcc = torch.cat([self.bender.bent(self.items.epoch()[:MEASURED_CLIPS]) for _ in range(4)]) @ cosines
            return FrontEnd(cosines, mfcc.mean((0, 1)), mfcc.var((0, 1), unbiased=False).mean())

    def _hear(self, batches: Sequence[Batch], started: float) -> bool:
        """Learn from batches; returns whether the phase is over."""
        for batch in batches:
            progress = self._progress(time.monotonic() - started)
            if progress >= 1:
                return True
            for learner in self.learners:
                learner.step(batch.inputs, batch.targets, progress)
            self.n_steps += 1
            if self.n_steps % 50 == 0:
                # So that the clock is that of the GPU.
                for stream in self.streams:
                    stream.synchronize()
            if self.n_steps in (200, 1_000):
                ms = 1_000 * (time.monotonic() - started) / self.n_steps
                print(f"  {ms:.1f} ms a step until step {self.n_steps}", flush=True)
        return False

    def _progress(self, seconds: float) -> float:
        """Share of the phase that has passed."""
        if self.plan.epochs:
            return self.n_steps / (self.plan.epochs * (len(self.items) // self.plan.batch))
        return seconds / self.plan.seconds

    def _made_ahead(self) -> Iterator[tuple[list[Batch], torch.cuda.Event | None]]:
        """Batches without end, and what says that they are made; the next are made while the learners hear these."""
        before = None
        for clips in self._clips():
            batches = self._batches(clips)
            made = torch.cuda.current_stream().record_event() if self.streams else None
            if before is not None:
                yield before
            before = batches, made

    def _clips(self) -> Iterator[torch.Tensor]:
        """Epoch after epoch, without end; what of one doesn't fill the last share is left out."""
        while True:
            clips = self.items.epoch()
            yield from clips[: len(clips) // self.clips_at_once * self.clips_at_once].split(self.clips_at_once)

    def _batches(self, clips: torch.Tensor) -> list[Batch]:
        with torch.no_grad():
            log_mel = self.bender.bent(clips)
            targets = self._targets(clips, log_mel)
            log_mels, mfccs = (one.split(self.plan.batch) for one in self.front_end(log_mel))
            parts = zip(log_mels, mfccs, targets.split(self.plan.batch), strict=True)
            return [Batch(Inputs(log_mel, mfcc), target) for log_mel, mfcc, target in parts]

    def _targets(self, clips: torch.Tensor, log_mel: torch.Tensor) -> torch.Tensor:
        """The labels, smoothed, and what the teachers make of the clips."""
        n_labels, smoothing = len(self.bundle.labels), self.plan.label_smoothing
        labels = functional.one_hot(self.bundle.labels_of(clips), n_labels)
        targets = labels * (1 - smoothing) + smoothing / n_labels
        if self.teachers:
            for target, heard in zip(targets.split(TAUGHT_AT_ONCE), log_mel.split(TAUGHT_AT_ONCE), strict=True):
                scores = torch.stack([teacher.scores(heard) for teacher in self.teachers]).mean(0)
                target += self.plan.teacher_weight * (scores - target)
        return targets


def accuracies(scores: torch.Tensor, validation: Validation) -> dict[str, float]:
    """Shares that are right, %, among rebuilt clips and silence, and among words of true recordings."""
    label, is_true = validation.label, validation.is_true
    right = scores.argmax(1) == label
    groups = {
        "all": ~is_true,
        "words": ~is_true & (label > UNKNOWN),
        "unknown": ~is_true & (label == UNKNOWN),
        "silence": label == SILENCE,
        "true_words": is_true & (label > UNKNOWN),
    }
    return {name: round(100 * right[rows].float().mean().item(), 2) for name, rows in groups.items()}


def read_teachers(path: Path, names: Sequence[str], cosines: torch.Tensor) -> dict[str, Model]:
    """Learners of an earlier plan, to learn from, by FILE/LEARNER.

    Raises:
        ValueError: a learner isn't among them, or streams: its weights are kept as Keras has them.
    """
    outcome, device = Outcome.load(path), cosines.device
    plans = {learner.name: learner for learner in outcome.phase.learners if not learner.streams}
    missing = [name for name in names if name not in plans]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)} to learn from; it has {', '.join(plans) or 'none'}")
    front_end = FrontEnd(
        cosines, torch.tensor(outcome.mean, device=device), torch.tensor(outcome.variance, device=device)
    )
    models = {}
    for name in names:
        network = build(plans[name], len(outcome.labels)).to(device).eval()
        set_weights(network, outcome.weights[name])
        models[f"{path.stem}/{name}"] = Model(network, front_end)
    return models


def train(plan: Plan, bundle: Bundle, out: Path, *, graphs: bool) -> None:
    """Train by a plan.

    Args:
        plan: what is trained.
        bundle: on which recordings.
        out: folder in which each phase leaves its outcome, and in which the teachers of the plan are.
        graphs: whether the steps of recurrent networks are recorded as CUDA graphs.

    Raises:
        ValueError: a phase names a teacher that isn't there, or can't be as the plan has it.
    """
    taught: dict[str, Model] = {}
    for file, names in plan.teachers.items():
        taught |= read_teachers(out / file, names, bundle.cosines)
    for one in plan.phases:
        phase = Phase(one, bundle, _chosen(one.teachers, taught), graphs=graphs)
        phase.learn()
        outcome = phase.outcome()
        outcome.save(out)
        print(json.dumps(outcome.figures), flush=True)
        taught |= {f"{one.name}/{name}": model for name, model in phase.models().items()}


def _chosen(names: Sequence[str], taught: Mapping[str, Model]) -> list[Model]:
    missing = [name for name in names if name not in taught]
    if missing:
        raise ValueError(f"{', '.join(missing)} can't teach yet; there are {', '.join(taught) or 'no others'}")
    return [taught[name] for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("plan", type=Path, nargs="?", metavar="PLAN.json")
    parser.add_argument("out", type=Path, nargs="?", default=Path(), metavar="OUT")
    parser.add_argument(
        "--graphs",
        action="store_true",
        help="record the steps of recurrent networks as CUDA graphs; benchmarks.gpu.graphs tells whether that works",
    )
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    began = time.monotonic()
    bundle = Bundle.load(given.bundle, device)
    print(f"{len(bundle.clips):,} clips, {time.monotonic() - began:.1f} s", flush=True)
    if given.plan is not None:
        try:
            train(Plan.load(given.plan), bundle, given.out, graphs=given.graphs)
        except ValueError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()

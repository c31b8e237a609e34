"""Whether steps of recurrent networks can be recorded as CUDA graphs here, and what that gains.

    python -m benchmarks.gpu.graphs

Each network learns noise, launched step by step and replayed; both must end with about the same loss.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from torch.nn import functional

from benchmarks.gpu.learner import Learner
from benchmarks.gpu.networks import Inputs
from benchmarks.gpu.plan import LearnerPlan

N_LABELS, BATCH, N_FRAMES, N_MFCC = 12, 512, 97, 40
WARMUP_STEPS, TIMED_STEPS = 60, 100


def measure(plan: LearnerPlan, *, graph: bool) -> tuple[float, float]:
    """Milliseconds of a step, and the loss after the last."""
    device = torch.device("cuda")
    learner = Learner(plan, N_LABELS, device, graph=graph)
    x = torch.randn(BATCH, N_FRAMES, N_MFCC, device=device)
    targets = functional.one_hot(torch.randint(N_LABELS, (BATCH,), device=device), N_LABELS).float()
    torch.cuda.synchronize()
    for _ in range(WARMUP_STEPS):
        learner.step(Inputs(x, x), targets, 0.5)
    torch.cuda.synchronize()
    began = time.monotonic()
    for _ in range(TIMED_STEPS):
        learner.step(Inputs(x, x), targets, 0.5)
    torch.cuda.synchronize()
    return 1_000 * (time.monotonic() - began) / TIMED_STEPS, learner.loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    for kind, units in (("gru", 212), ("lstm", 184), ("both_ways", 256)):
        plan = LearnerPlan(name=kind, kind=kind, units=units, stack=2, dropout=0.0)
        (launched_ms, loss), (replayed_ms, loss_replayed) = (measure(plan, graph=graph) for graph in (False, True))
        print(f"{kind}: {launched_ms:.2f} ms launched, {replayed_ms:.2f} ms replayed; ", end="")
        print(f"loss {loss:.4f}, {loss_replayed:.4f}", flush=True)
        if abs(loss - loss_replayed) > 0.05 * abs(loss) + 0.02:
            sys.exit(f"a graph of {kind} learns otherwise than its steps do; train without --graphs")


if __name__ == "__main__":
    main()

"""What is said of LSTM and GRU, a claim a row: what would show it, how it is measured, and by which rule it is judged.

A verdict is never written down: :func:`judge` finds it in what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.claims.cost_effects import TIMING_MARGIN, CostName, arithmetic, costs, epochs
from speech_rnn.comparison.claims.effects import Evidence, Size, accuracy, answers, each_of, hunger, reach
from speech_rnn.comparison.claims.memory_effects import memory_task
from speech_rnn.comparison.claims.verdicts import Above, Claim, Depends, Differs, Unit, Verdict, judge_claims
from speech_rnn.comparison.results import Results

if TYPE_CHECKING:
    from speech_rnn.memory_tasks.experiment import Outcome

LSTM, GRU, RNN = "lstm", "gru", "rnn"
SAID = {
    "efficient": "GRU has fewer parameters and gates; it is more efficient in computation, memory and training time",
    "powerful": "LSTM is more powerful",
    "comparable": "GRU is about as good as LSTM",
    "remembers": "LSTM captures longer dependencies and remembers longer",
    "history": "The update gate and the output and reset gates let them differ in keeping history",
    "depends": "Which to take depends on the task and the resources",
}

POINTS = 0.5  # of accuracy that matter
POINTS_ELSEWHERE = 1.0  # where fewer clips judge, and all cells have fewer right
FRAMES_MS = 20.0  # a frame or two
GAPS = ("_silence", "_noise", "_words")
GAPS_S = (4.0, 10.0)
TASKS: dict[str, tuple[Unit, float, str]] = {
    "adding": ("decades", 0.1, "the squared error of LSTM on the longest adding task is smaller"),
    "copying": ("points", 1.0, "LSTM says more symbols right after the longest pause of the copying task"),
    "counting": ("doublings", 0.25, "LSTM counts further in the counting task"),
}


def judge(results: Results, outcomes: Sequence[Outcome] = ()) -> tuple[Verdict, ...]:
    """The verdict of each claim, in the order of :data:`CLAIMS`.

    Args:
        results: of a comparison that is done.
        outcomes: of the memory tasks; claims on them are *not measured* where there are none.

    Raises:
        DataError: some trainings are missing.
    """
    return judge_claims(CLAIMS, Evidence(results, outcomes))


_for_lstm = partial(Claim, unit="points", first=LSTM, second=GRU)
_for_gru = partial(Claim, unit="times", first=GRU, second=LSTM)


def _efficient() -> Iterator[Claim]:
    more = Above(1.0, 1.0)
    yield _for_gru(
        "parameters",
        SAID["efficient"],
        "GRU has fewer parameters",
        "with as many units, LSTM has more parameters; by arithmetic",
        "units",
        arithmetic(GRU, LSTM, "units", "parameters"),
        more,
    )
    yield _for_gru(
        "multiply_adds",
        SAID["efficient"],
        "GRU computes less",
        "with as many units, LSTM takes more multiply-adds a second; by arithmetic",
        "units",
        arithmetic(GRU, LSTM, "units", "macs_per_second"),
        more,
    )
    yield _for_gru(
        "bytes",
        SAID["efficient"],
        "GRU needs less room for its weights",
        "with as many units, the weights of LSTM in eight bits take more bytes; by arithmetic",
        "units",
        arithmetic(GRU, LSTM, "units", "int8_bytes"),
        more,
    )
    equal: dict[Budget, str] = {"units": "with as many units", "parameters": "with as many parameters"}
    for budget, words in equal.items():
        yield _for_gru(
            f"state_{budget}",
            SAID["efficient"],
            "GRU needs less memory for its state",
            f"{words}, LSTM keeps more bytes from step to step; by arithmetic",
            budget,
            costs(GRU, LSTM, budget, "state_bytes_float32"),
            more,
        )
    times: tuple[tuple[str, CostName, str, str], ...] = (
        ("step_float32", "step_us_float32", "GRU runs faster", "a step of LSTM takes longer on a device, in float32"),
        ("step_int8", "step_us_int8", "GRU runs faster in eight bits", "a step of LSTM takes longer in eight bits"),
        ("training_step", "training_step_s", "GRU trains faster", "a step of training takes longer with LSTM"),
    )
    for key, cost, sentence, shows in times:
        for budget, words in equal.items():
            yield _for_gru(
                f"{key}_{budget}",
                SAID["efficient"],
                sentence,
                f"{words}, {shows}",
                budget,
                costs(GRU, LSTM, budget, cost, margin=TIMING_MARGIN),
                more,
            )
    yield _for_gru(
        "arena",
        SAID["efficient"],
        "GRU needs less memory on a board",
        "with as many units, TensorFlow Lite for Microcontrollers needs more for LSTM",
        "units",
        costs(GRU, LSTM, "units", "arena_bytes"),
        more,
    )
    yield _for_gru(
        "training_memory",
        SAID["efficient"],
        "GRU needs less memory in training",
        "with as many units, a training of LSTM takes more memory",
        "units",
        costs(GRU, LSTM, "units", "training_step_memory_bytes", margin=TIMING_MARGIN),
        more,
    )
    sooner = Above(1.0, 1.0 + TIMING_MARGIN)
    yield _for_gru(
        "epochs",
        SAID["efficient"],
        "GRU learns in fewer epochs",
        "with as many parameters, LSTM takes more epochs to what the worse of both ends with, less half a point; a "
        "learning rate that falls to 0 has a part in that",
        "parameters",
        epochs(GRU, LSTM, "parameters"),
        sooner,
    )
    yield _for_gru(
        "training_time",
        SAID["efficient"],
        "GRU learns in less time",
        "with as many parameters, LSTM takes longer to that accuracy: its epochs by the time of its step",
        "parameters",
        epochs(GRU, LSTM, "parameters", in_time=True),
        Above(1.0 + TIMING_MARGIN, 1.0),
    )


def _accurate() -> Iterator[Claim]:
    equal: dict[Budget, str] = {
        "units": "as many units",
        "parameters": "as many parameters",
        "bytes": "as many bytes in eight bits",
        "macs": "as many multiply-adds",
    }
    for budget, words in equal.items():
        yield _for_lstm(
            f"accuracy_{budget}",
            SAID["powerful"],
            f"LSTM is more accurate with {words}",
            f"its accuracy is higher by the mean over all sizes, with {words}",
            budget,
            accuracy(LSTM, GRU, budget),
            Above(0.0, POINTS),
        )
    sizes: tuple[Size, ...] = ("smallest", "largest")
    for size in sizes:
        yield _for_lstm(
            f"accuracy_{size}",
            SAID["powerful"],
            f"LSTM is more accurate at the {size} size",
            f"its accuracy is higher at the {size} size, with as many parameters",
            "parameters",
            accuracy(LSTM, GRU, "parameters", size=size),
            Above(0.0, POINTS),
        )
    yield _for_gru(
        "no_worse",
        SAID["comparable"],
        "GRU is no worse than LSTM",
        f"its accuracy is less than {POINTS:g} points below that of LSTM, with as many parameters",
        "parameters",
        accuracy(GRU, LSTM, "parameters"),
        Above(-POINTS, -POINTS),
        unit="points",
    )
    yield _for_lstm(
        "gates",
        SAID["powerful"],
        "LSTM and GRU are both better than a plain recurrent network",
        "the accuracy of each is higher than that of the plain one, with as many parameters",
        "parameters",
        each_of([(f"{cell} − {RNN}", accuracy(cell, RNN, "parameters")) for cell in (LSTM, GRU)]),
        Above(0.0, POINTS),
        first="gated",
        second=RNN,
    )
    yield _for_lstm(
        "noise",
        SAID["powerful"],
        "LSTM stands noise better",
        "it loses less accuracy under noise, by the mean over all levels, with as many parameters",
        "parameters",
        answers(LSTM, GRU, "parameters", "snr", lost=True),
        Above(0.0, POINTS_ELSEWHERE),
    )
    yield _for_lstm(
        "eight_bits",
        SAID["powerful"],
        "LSTM stands eight bits better",
        "it loses less accuracy when its weights and products have eight bits, with as many parameters",
        "parameters",
        answers(LSTM, GRU, "parameters", "int8", lost=True),
        Above(0.0, POINTS),
    )
    yield _for_gru(
        "hunger",
        SAID["efficient"],
        "GRU needs less data",
        "from a tenth of the clips or fewer, it loses less accuracy than LSTM, at the middle size",
        "parameters",
        hunger(GRU, LSTM),
        Above(0.0, POINTS_ELSEWHERE),
        unit="points",
    )


def _remembering() -> Iterator[Claim]:
    for taught in (False, True):
        for seconds in GAPS_S:
            yield _for_lstm(
                f"{'taught_' if taught else ''}gap_{seconds:g}",
                SAID["remembers"],
                f"LSTM still knows a word after {seconds:g} s" + (", when it is taught to" if taught else ""),
                f"asked {seconds:g} s after the word, it is right more often"
                + (", after training with such gaps" if taught else "")
                + "; with as many parameters, silence, noise and other words in the gap together",
                "parameters",
                answers(LSTM, GRU, "parameters", "taught_gap" if taught else "gap", [seconds], kinds=GAPS),
                Above(0.0, POINTS_ELSEWHERE),
            )
    yield _for_lstm(
        "gradient",
        SAID["remembers"],
        "LSTM learns from further back",
        "half of its gradient lies further back from the end of a clip, with as many parameters",
        "parameters",
        reach(LSTM, GRU, "parameters"),
        Above(0.0, FRAMES_MS),
        unit="ms",
    )
    for task, (unit, margin, shows) in TASKS.items():
        yield _for_lstm(
            task,
            SAID["remembers"],
            f"LSTM solves longer dependencies: {task}",
            f"{shows}, with as many units",
            "units",
            memory_task(LSTM, GRU, task),
            Above(0.0, margin),
            unit=unit,
        )
    yield _for_lstm(
        "history",
        SAID["history"],
        "LSTM and GRU differ in how they keep history",
        f"asked {GAPS_S[0]:g} or {GAPS_S[1]:g} s after a word, untaught, one of them is right more often",
        "parameters",
        each_of(
            [
                (f"after {seconds:g} s", answers(LSTM, GRU, "parameters", "gap", [seconds], kinds=GAPS))
                for seconds in GAPS_S
            ]
        ),
        Differs(POINTS_ELSEWHERE),
    )


def _depending() -> Iterator[Depends]:
    yield Depends(
        "resources",
        SAID["depends"],
        "Which is more accurate depends on the resources",
        "one cell is more accurate at one size or with one thing equal, the other at another",
        tuple(f"accuracy_{what}" for what in ("units", "parameters", "bytes", "macs", "smallest", "largest")),
    )
    yield Depends(
        "task",
        SAID["depends"],
        "Which is better depends on the task",
        "one cell is better at one task, the other at another",
        (
            "accuracy_parameters",
            "noise",
            "eight_bits",
            "hunger",
            *(f"{taught}gap_{seconds:g}" for taught in ("", "taught_") for seconds in GAPS_S),
            *TASKS,
        ),
    )


CLAIMS: tuple[Claim | Depends, ...] = (*_efficient(), *_accurate(), *_remembering(), *_depending())

"""How much a model loses on other recordings than those at hand; see :mod:`speech_rnn.data.conditions`."""

from __future__ import annotations

from functools import partial

import numpy as np

from speech_rnn.data.clips import JudgedPart
from speech_rnn.data.conditions import CONDITIONS, under_condition
from speech_rnn.evaluation import Proportion, Record, evaluate
from speech_rnn.progress import progress
from speech_rnn.scoring import LEAST_SCORE, Judged, Scores

AS_RECORDED = "as recorded"


class UnderCondition(Record):
    """What a model makes of the same clips under one condition; silence is left as it is, and left out.

    Attributes:
        condition: one of :data:`~speech_rnn.data.conditions.CONDITIONS`, or :data:`AS_RECORDED`.
        accuracy: of words and unknown words.
        commands: of words; ``None`` where there are none.
        unknown: of unknown words; ``None`` where there are none.
    """

    condition: str
    accuracy: Proportion
    commands: Proportion | None
    unknown: Proportion | None


class ConditionReport(Record):
    """A model on one set of clips under all conditions.

    Attributes:
        model: which, in words.
        data: which recordings, in words.
        part: of them.
        synthetic: whether machines speak in the recordings.
        command: what gives these figures again.
        confidence: of all intervals.
        as_recorded: the clips as they are.
        conditions: in the order of :data:`~speech_rnn.data.conditions.CONDITIONS`.
    """

    model: str
    data: str
    part: str
    synthetic: bool
    command: str
    confidence: float
    as_recorded: UnderCondition
    conditions: tuple[UnderCondition, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy over the conditions, 0 to 1."""
        return float(np.mean([one.accuracy.value for one in self.conditions]))

    @property
    def points_lost(self) -> float:
        """How many percentage points the mean lies under the accuracy on the clips as recorded."""
        return 100 * (self.as_recorded.accuracy.value - self.mean)


def score_conditions(
    scores: Scores,
    judged: Judged,
    labels: tuple[str, ...],
    sample_rate: int,
    *,
    model: str,
    data: str,
    part: JudgedPart,
    synthetic: bool,
    command: str,
) -> ConditionReport:
    """Let a model hear clips as recorded and under every condition.

    Args:
        scores: of the model.
        judged: the clips.
        labels: in the order of the scores.
        sample_rate: of the clips in Hz.
        model: which model, in words; this and what follows goes into the report.
        data: which recordings.
        part: of them.
        synthetic: whether machines speak in them.
        command: what gives the figures again.
    """
    spoken = judged.items.clip >= 0
    targets = judged.items.label[spoken]
    speakers = [speaker for speaker, is_spoken in zip(judged.speakers, spoken.tolist(), strict=True) if is_spoken]
    names = (AS_RECORDED, *CONDITIONS)
    logits = {name: np.empty((len(targets), len(labels)), np.float32) for name in names}
    with progress("under all conditions", len(names) * len(targets)) as report:
        start = 0
        for some, clips in judged.batches():
            chosen = spoken[some]
            here = slice(start, start + int(chosen.sum()))
            start = here.stop
            for name in names:
                heard = clips[chosen]
                if name != AS_RECORDED:
                    keys = judged.items.key[some][chosen]
                    heard = under_condition(name, heard, keys, judged.noise, sample_rate, part=part)
                logits[name][here] = np.log(np.maximum(scores(heard), LEAST_SCORE)) if len(heard) else 0.0
                report.advance(len(heard))
    about = partial(evaluate, data=data, synthetic=synthetic, command=command, part=part, model=model)
    found = [about(logits[name], targets, labels, speakers) for name in names]
    first, *others = (
        UnderCondition(condition=name, accuracy=one.accuracy, commands=one.commands, unknown=one.unknown)
        for name, one in zip(names, found, strict=True)
    )
    return ConditionReport(
        model=model,
        data=data,
        part=part,
        synthetic=synthetic,
        command=command,
        confidence=found[0].confidence,
        as_recorded=first,
        conditions=tuple(others),
    )

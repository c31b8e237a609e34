"""What is compared with what: cells, at equal units, parameters, bytes or multiply-adds, each from several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from speech_rnn.comparison.budgets import Budget, cost_of, units_within
from speech_rnn.config import MOST_UNITS, RunSettings, Words
from speech_rnn.data.clips import JudgedPart
from speech_rnn.settings import Settings, shown

Rate = Annotated[float, Field(gt=0.0, le=1.0)]
TUNING_SEED = 0  # of the trainings that choose the learning rates
TUNING_SHARE = 0.1  # of the training speakers, who judge them
MOST_TIMES = 10  # as often as others are few clips heard


class Contender(Settings):
    """A cell at a budget.

    Attributes:
        budget: what is equal between the cells.
        size: units a layer of the first cell, which say how much of it there is.
        cell: of :data:`speech_rnn.models.CELLS`.
        units: a layer, with which it comes nearest to the budget.
        parameters, int8_bytes, macs_per_second: what it costs; see :class:`speech_rnn.comparison.budgets.Cost`.
    """

    budget: Budget
    size: int
    cell: str
    units: int
    parameters: int
    int8_bytes: int
    macs_per_second: float

    def trial(self, seed: int) -> Trial:
        """Its training from a seed."""
        return Trial(self.cell, self.units, seed)


Study = Literal["rates", "cells", "shares"]


class Trial(NamedTuple):
    """A training of a comparison; contenders of several budgets share those that are the same.

    Attributes:
        cell: of :data:`speech_rnn.models.CELLS`.
        units: a layer.
        seed: of weights, order and augmentation.
        study: what it is for: ``rates`` chooses the learning rate, ``cells`` compares, ``shares`` hears fewer clips.
        value: the learning rate, or the share of the training clips; 0 where cells are compared.
    """

    cell: str
    units: int
    seed: int
    study: Study = "cells"
    value: float = 0.0

    @property
    def key(self) -> str:
        """Its name, in results and as a folder."""
        of_study = {"rates": f"-rate{self.value:g}", "cells": "", "shares": f"-share{self.value:g}"}
        return f"{self.cell}-{self.units}-seed{self.seed}{of_study[self.study]}"


class ComparisonPlan(Settings):
    """Everything that decides a comparison, besides the recordings themselves.

    The first of the ``cells`` has ``sizes`` units a layer; the others get as many as come nearest to what it costs
    then, under each of the ``budgets``: equal ``units``, ``parameters``, ``bytes`` in integers, or ``macs``, the
    multiply-adds of a second. What an epoch hears is a function of seed and epoch, so all cells hear the same. Each is
    judged on a ``part`` by the weights of its last epoch: those that are best by validation flatter.

    ``learning_rates`` are by cell; for the others the best of ``rates`` is found beforehand, by one training each
    on the middle size (of an even number the larger), judged by a tenth of the training speakers, whom it doesn't
    hear; without ``rates`` they take that of ``base``, whose cell, units and seed don't matter. ``shares`` are
    those of the training clips that are heard to see how much each cell hungers for them; few clips are heard up to
    ten times as often in an epoch. ``all`` cells are measured with other sound, or those of the ``middle`` size
    alone, which are trained further then, for ``taught_steps``, to remember a word for some seconds.
    """

    RULES: ClassVar[dict[str, str]] = {
        "cells": "must be names of cells",
        "budgets": f"must be some of {', '.join(get_args(Budget))}",
        "sizes": f"must be units of a layer, 1 to {MOST_UNITS:,}",
        "seeds": "must be whole numbers from 0 to 4,294,967,295",
        "learning_rates": "must be a rate above 0 and at most 1 for each cell that is named",
        "rates": "must be rates above 0 and at most 1",
        "shares": "must be shares above 0 and under 1",
        "measured": "must be 'all' or 'middle'",
        "part": "must be 'validation' or 'testing'",
    }
    UNITS: ClassVar[dict[str, str]] = {"taught_steps": "steps"}
    REMEDIES: ClassVar[dict[str, str]] = {
        "taught_steps": "300 are usual",
        "cells": "('lstm', 'gru') is an example",
        "budgets": "('units', 'parameters') is an example",
        "sizes": "(32, 64) is an example",
        "seeds": "(1, 2, 3, 4, 5) are usual",
        "learning_rates": "{'lstm': 0.004} is an example",
        "rates": "(0.001, 0.004) is an example",
        "shares": "(0.1, 0.3) is an example",
    }

    cells: Words = ("lstm", "gru")
    budgets: Annotated[tuple[Budget, ...], Field(strict=False)] = ("units", "parameters")
    sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=MOST_UNITS)], ...], Field(strict=False)] = (64,)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(strict=False)] = (1, 2, 3, 4, 5)
    learning_rates: Mapping[str, Rate] = Field(default_factory=dict)
    rates: Annotated[tuple[Rate, ...], Field(strict=False)] = ()
    shares: Annotated[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...], Field(strict=False)] = ()
    measured: Literal["all", "middle"] = "all"
    taught_steps: int = Field(default=300, ge=0, le=1_000_000)
    part: JudgedPart = "testing"
    base: RunSettings = Field(default_factory=RunSettings)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        least_of = {"cells": 2, "budgets": 1, "sizes": 1, "seeds": 1, "rates": 0, "shares": 0}
        for name, least in least_of.items():
            values = getattr(self, name)
            if len(values) < least or len(set(values)) < len(values):
                raise ValueError(
                    f"{name}={shown(values)} must be {('none', 'one', 'two')[least]} or more, each once; "
                    f"{self.REMEDIES[name]}"
                )
        for cell in self.learning_rates:
            if cell not in self.cells:
                raise ValueError(f"learning rate of {shown(cell)} must be that of one of {', '.join(self.cells)}")
        if self.base.model.both_ways:
            raise ValueError("both_ways=True must be false in a comparison; such a model can't stream, it only teaches")
        return self

    def contenders(self, n_labels: int) -> tuple[Contender, ...]:
        """The cells at each size and budget, in this order.

        Args:
            n_labels: labels to tell apart; their scores cost something too.

        Raises:
            ModelError: a cell is unknown.
        """
        found = []
        features, first = self.base.features, self.base.model.changed(cell=self.cells[0])
        for budget in self.budgets:
            for size in self.sizes:
                wanted = cost_of(first.changed(units=size), features, n_labels)
                for cell in self.cells:
                    model = first.changed(cell=cell)
                    is_first = cell == self.cells[0]
                    units = (
                        size
                        if is_first
                        else units_within(budget, model, size, wanted, features=features, n_labels=n_labels)
                    )
                    cost = cost_of(model.changed(units=units), features, n_labels)
                    found.append(Contender(budget=budget, size=size, cell=cell, units=units, **cost._asdict()))
        return tuple(found)

    def trials(self, contenders: Sequence[Contender]) -> list[Trial]:
        """What is trained, each once: learning rates first, then the cells, seed by seed, then with fewer clips.

        So what was stopped has something of each cell.
        """
        middle = self.middle(contenders)
        rates = [
            Trial(one.cell, one.units, TUNING_SEED, "rates", rate)
            for rate in self.rates
            for one in middle
            if one.cell not in self.learning_rates
        ]
        cells = [contender.trial(seed) for seed in self.seeds for contender in contenders]
        shares = [
            Trial(one.cell, one.units, seed, "shares", share)
            for seed in self.seeds
            for share in self.shares
            for one in middle
        ]
        return list(dict.fromkeys([*rates, *cells, *shares]))

    def middle(self, contenders: Sequence[Contender]) -> tuple[Contender, ...]:
        """The cells of the middle size, at equal parameters where that is among the budgets; else at the first."""
        budget: Budget = "parameters" if "parameters" in self.budgets else self.budgets[0]
        size = sorted(self.sizes)[len(self.sizes) // 2]
        return tuple(one for one in contenders if (one.budget, one.size) == (budget, size))

    def is_middle(self, cell: str, units: int, contenders: Sequence[Contender]) -> bool:
        """Whether a cell with so many units is one of the middle size."""
        return (cell, units) in {(one.cell, one.units) for one in self.middle(contenders)}

    def settings_of(self, trial: Trial, learning_rates: Mapping[str, float]) -> RunSettings:
        """The settings of a training's run.

        Args:
            trial: which.
            learning_rates: by cell; that of ``base`` where a cell isn't named.
        """
        rate = learning_rates.get(trial.cell, self.base.training.learning_rate)
        training, task = self.base.training.changed(seed=trial.seed, learning_rate=rate), self.base.task
        if trial.study == "rates":
            training, task = training.changed(learning_rate=trial.value), task.changed(tuning_share=TUNING_SHARE)
        elif trial.study == "shares":
            times = round(min(1 / trial.value, MOST_TIMES))
            task = task.changed(heard_share=trial.value, heard_times=times * task.heard_times)
        model = self.base.model.changed(cell=trial.cell, units=trial.units)
        return self.base.changed(model=model, training=training, task=task)

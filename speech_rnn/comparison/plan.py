"""What is compared with what: cells, at equal units, parameters, bytes or multiply-adds, each from several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from speech_rnn.comparison.budgets import Budget, cost_of, units_within
from speech_rnn.config import MOST_UNITS, RunSettings, Words
from speech_rnn.models import check_cell
from speech_rnn.scoring import JudgedPart
from speech_rnn.settings import Settings, shown

Rate = Annotated[float, Field(gt=0.0, le=1.0)]


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


class Trial(NamedTuple):
    """A training of a comparison; contenders of several budgets share those that are the same.

    Attributes:
        cell: of :data:`speech_rnn.models.CELLS`.
        units: a layer.
        seed: of weights, order and augmentation.
    """

    cell: str
    units: int
    seed: int

    @property
    def key(self) -> str:
        """Its name, in results and as a folder."""
        return f"{self.cell}-{self.units}-seed{self.seed}"


class ComparisonPlan(Settings):
    """Everything that decides a comparison, besides the recordings themselves.

    The first of the ``cells`` has ``sizes`` units a layer; the others get as many as come nearest to what it costs
    then, under each of the ``budgets``: equal ``units``, ``parameters``, ``bytes`` in integers, or ``macs``, the
    multiply-adds of a second. ``learning_rates`` are by cell; the others take that of ``base``, whose cell, units and
    seed don't matter. What an epoch hears is a function of seed and epoch, so all cells hear the same. Each is judged
    on a ``part`` by the weights of its last epoch: those that are best by validation flatter.
    """

    RULES: ClassVar[dict[str, str]] = {
        "cells": "must be names of cells",
        "budgets": f"must be some of {', '.join(get_args(Budget))}",
        "sizes": f"must be units of a layer, 1 to {MOST_UNITS:,}",
        "seeds": "must be whole numbers from 0 to 4,294,967,295",
        "learning_rates": "must be a rate above 0 and at most 1 for each cell that is named",
        "part": "must be 'validation' or 'testing'",
    }
    REMEDIES: ClassVar[dict[str, str]] = {
        "cells": "('lstm', 'gru') is an example",
        "budgets": "('units', 'parameters') is an example",
        "sizes": "(32, 64) is an example",
        "seeds": "(1, 2, 3, 4, 5) are usual",
        "learning_rates": "{'lstm': 0.004} is an example",
    }

    cells: Words = ("lstm", "gru")
    budgets: Annotated[tuple[Budget, ...], Field(strict=False)] = ("units", "parameters")
    sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=MOST_UNITS)], ...], Field(strict=False)] = (64,)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(strict=False)] = (1, 2, 3, 4, 5)
    learning_rates: Mapping[str, Rate] = Field(default_factory=dict)
    part: JudgedPart = "testing"
    base: RunSettings = Field(default_factory=RunSettings)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, least in (("cells", 2), ("budgets", 1), ("sizes", 1), ("seeds", 1)):
            values = getattr(self, name)
            if len(values) < least or len(set(values)) < len(values):
                raise ValueError(
                    f"{name}={shown(values)} must be {('one', 'two')[least - 1]} or more, each once; "
                    f"{self.REMEDIES[name]}"
                )
        for cell in self.cells:
            check_cell(cell)
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
        """What is trained, each once; seed by seed, so that what was stopped has something of each cell."""
        return list(dict.fromkeys(contender.trial(seed) for seed in self.seeds for contender in contenders))

    def settings_of(self, trial: Trial) -> RunSettings:
        """The settings of a training's run."""
        training = self.base.training.changed(seed=trial.seed)
        if trial.cell in self.learning_rates:
            training = training.changed(learning_rate=self.learning_rates[trial.cell])
        model = self.base.model.changed(cell=trial.cell, units=trial.units)
        return self.base.changed(model=model, training=training)

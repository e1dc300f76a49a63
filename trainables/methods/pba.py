"""Population based augmentation (Ho et al. 2019): a schedule of policies, bred during training.

Members train side by side through policies of their own. After every generation the worst quarter goes on from weights
and policy of members of the best quarter, and mutates the policy: every number is drawn anew with probability 0.2, else
moved by up to 3 steps. The schedule of the winner's line, from scratch, is the result.

Deviations from the paper: one operation per image (the first of all in random order to fire) instead of up to two;
every operation once instead of twice; strengths are uniform up to the level's; members begin with mutations of the
empty policy instead of with that itself; the population is what the budget holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator
from torch import Generator, Tensor

from spaces.domain import Space
from spaces.policies import Policy
from spaces.transforms import Operation
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.evolving import EvolvingConfig
from trainables.method import Context, Method, Slice
from trainables.modules.frozen import shown_images
from trainables.modules.genes import LEVELS, TENTHS, Genes, Slot, mutated, policy_of, table
from trainables.modules.policy_space import SpaceConfig
from trainables.modules.policy_takeaway import export
from trainables.modules.supervised import Supervised, mean_metrics


class Config(EvolvingConfig, SpaceConfig):
    """The shared recipe, the space, and the schedule so far.

    Args:
        schedule: a policy per generation, of `generations`; training ends with the last one that is given. Empty:
            every operation half of the time and half as far as it may, for a whole training.
    """

    space: ClassVar[Space] = Space({})

    schedule: tuple[Genes, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.schedule) > self.generations:
            got = f"{len(self.schedule)} of {self.generations}"
            raise UserError("a schedule has `generations` policies at most", got)
        for genes in self.schedule:
            if set(genes) != set(self.operations):
                got = f"{', '.join(sorted(genes))} instead of {', '.join(sorted(self.operations))}"
                raise UserError("every policy of a schedule has all operations of the space and no others", got)
        return self

    @property
    def given(self) -> bool:
        return bool(self.schedule)

    def begun(self, generator: np.random.Generator, member: int) -> Self:
        empty = {operation: Slot(probability=0, level=0) for operation in self.operations}
        return self._with((empty if member == 0 else mutated(empty, self.operations, generator),))

    def continued(self, generator: np.random.Generator, explores: bool) -> Self:
        last = self.schedule[-1]
        return self._with((*self.schedule, mutated(last, self.operations, generator) if explores else last))

    def whole(self) -> Self:
        return self.model_copy(update={"generations": len(self.schedule)})

    def build(self, context: Context) -> Method:
        """Raises UserError where an operation does not fit the inputs, or a generation has no update."""
        if self.schedule and context.horizon < self.generations:
            got = f"{self.generations} generations in {context.horizon} updates"
            raise UserError("every generation needs an update", got, "fewer `generations`, or a longer horizon")
        return Scheduled(context, self, self.fitting("pba", context))

    def _with(self, schedule: tuple[Genes, ...]) -> Self:
        return self.model_copy(update={"schedule": schedule})


class Scheduled(Supervised):
    """The shared loop on train + outer, through the policy of the generation that an update belongs to."""

    def __init__(self, context: Context, config: Config, operations: Sequence[Operation]) -> None:
        middle = {operation: Slot(probability=TENTHS // 2, level=LEVELS // 2) for operation in operations}
        fitting = [{operation: genes[operation] for operation in operations} for genes in config.schedule]
        self._schedule, self._generations = fitting or [middle], config.generations if config.schedule else 1
        self._policies = [policy_of(genes, operations) for genes in self._schedule]
        self._end = -(-context.horizon * len(self._schedule) // self._generations)  # rounded up: as `_present` cuts
        super().__init__(context, config, lambda x, generator: self._present().draw(x, generator))

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._end - self.trunk.cursor)
        losses = [self._update() for _ in range(updates)]
        done = self.trunk.cursor >= self._end
        return Slice(mean_metrics({"train/loss": losses}), Phase.TRAIN, ready=True, done=done)

    def describe(self) -> Mapping[str, float]:
        """The policy of now."""
        return self._present().physical()

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._present().draw(x, generator)

    def export(self, folder: Path) -> Mapping[str, str]:
        """The schedule, and of its last policy what `policy_takeaway` writes."""
        told = [{operation: slot.model_dump() for operation, slot in genes.items()} for genes in self._schedule]
        (folder / "schedule.json").write_text(json.dumps(told, indent=2) + "\n")
        (folder / "schedule.md").write_text(table(self._schedule))
        files = export(self._policies[-1], shown_images(self._context), folder)
        return {**files, "schedule": "schedule.json", "schedule_table": "schedule.md"}

    def _present(self) -> Policy:
        """Of the generation that the next update belongs to; after the last one, the last."""
        index = self.trunk.cursor * self._generations // self._context.horizon
        return self._policies[min(index, len(self._policies) - 1)]

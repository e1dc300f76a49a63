"""Density matching by what a trained network tolerates: policies are judged without training through them.

Axes: N images, C copies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from spaces.domain import Choice, Float, Point, Space
from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from tracking.cost import Phase
from trainables.method import Context, Role, State, StateMismatchError, stable_seed
from trainables.modules.bilevel_search import SEARCH_STREAM, Update
from trainables.modules.folds import Fold, shuffled_folds
from trainables.modules.imbalance import ImbalanceRule, Sampling
from trainables.modules.parzen import Parzen
from trainables.modules.policy_space import mixture
from trainables.modules.state import generators_state, load_generators, require_cursor, require_like
from trainables.modules.tolerance_recipe import Judged, Reward, ToleranceConfig
from trainables.modules.trunk import Trunk
from trainables.problems.problem import LEARNABLE, Batch, Kind, Split

FORWARDS = 3  # forward passes that cost one gradient evaluation
NUMBERS = ("probability", "range")  # of an arm, beside its operation


class ToleranceSearch:
    """For every fold, a network learns from one part, and TPE proposes policies whose images of the other part the
    network should still get right. An update is one of either kind.

    Under a rule for imbalanced classes the networks learn by it; judged images are drawn and weighted as it says at the
    end of a training, which the networks have reached.

    Args:
        operations: the K operations.
        updates: of all networks together.
    """

    def __init__(
        self, context: Context, config: ToleranceConfig, operations: tuple[Operation, ...], updates: int
    ) -> None:
        self._context, self._config, self._operations = context, config, operations
        self._updates, self._candidates = config.turns(updates)
        self._noise = context.generator(Role.AUGMENT, SEARCH_STREAM)
        self._order = context.generator(Role.ORDER, SEARCH_STREAM)
        judges_outer = config.judged is Judged.OUTER
        self._rule = ImbalanceRule(context, config.imbalance, *((Split.TRAIN,) if judges_outer else LEARNABLE))
        self._folds = self._cut()
        self._chances = [self._rule.chances(fold.learned.y) for fold in self._folds]
        space = _space(operations, config.arms)
        self._parzen = [
            Parzen(space, stable_seed(context.seed, Role.SEARCH, fold), self._candidates)
            for fold in range(config.folds)
        ]
        self._fold = 0
        self._trunk = self._new_trunk()

    @property
    def left(self) -> int:
        """Updates and candidates until the end."""
        done = self._trunk.cursor + self._candidates - self._parzen[self._fold].left
        return (self._config.folds - self._fold) * (self._updates + self._candidates) - done

    def update(self) -> Update:
        """The loss is a network's in training, and 1 - reward for a candidate; there is no outer step."""
        if not self._trunk.finished:
            return Update(self._learn(), None)
        if self._parzen[self._fold].left == 0:
            self._fold += 1
            self._trunk = self._new_trunk()
            return Update(self._learn(), None)
        loss = 1 - self._parzen[self._fold].advance(self._worth)
        return Update(torch.tensor(loss, device=self._context.device), None)

    def policy(self) -> Policy:
        """The arms of the best candidates of every fold, with equal weights, and every other operation with none."""
        best = [point for parzen in self._parzen for point in parzen.best(self._config.kept)]
        found = together([self._candidate(point) for point in best])
        named = {entry.operation for entry in found}
        others = (operation for operation in self._operations if operation not in named)
        return Policy(entries=(*found, *(PolicyEntry(operation=other, weight=0.0) for other in others)))

    def predict(self, x: Tensor) -> Tensor:
        """By the network of the present fold."""
        return self._trunk.predict(x)

    def state_dict(self) -> State:
        return {
            "trunk": self._trunk.state_dict(), "fold": self._fold,
            "parzen": [parzen.state_dict() for parzen in self._parzen],
            "generators": generators_state((self._order, self._noise)),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self._trunk.check_state(state["trunk"])
        self._check_turns(state)
        self._fold = state["fold"]
        self._trunk.load_state_dict(state["trunk"])
        for parzen, told in zip(self._parzen, state["parzen"], strict=True):
            parzen.load_state_dict(told)
        load_generators((self._order, self._noise), state["generators"])

    def _check_turns(self, state: State) -> None:
        """Folds before the present one are done with, those after it have not begun."""
        fold, told = state["fold"], [parzen["told"] for parzen in state["parzen"]]
        require_cursor(fold, self._config.folds - 1)
        require_cursor(told[fold], self._candidates if state["trunk"]["cursor"] == self._updates else 0)
        if told[:fold] != [self._candidates] * fold or any(told[fold + 1:]):
            raise StateMismatchError(f"folds have their turns one after another, but fold {fold} with {told} told")
        for parzen, saved in zip(self._parzen, state["parzen"], strict=True):
            parzen.check_state(saved)

    def _cut(self) -> list[Fold]:
        context, config = self._context, self._config
        if config.judged is Judged.OUTER:
            folds = [Fold(self._labelled(Split.TRAIN), self._labelled(Split.OUTER))] * config.folds
        else:
            generator = context.generator(Role.SEARCH)
            folds = shuffled_folds(
                context.problem, self._labelled(*LEARNABLE), config.folds, config.share, generator
            )
        generator = context.generator(Role.SEARCH, 1)
        return [Fold(fold.learned, self._some(fold.judged, generator)) for fold in folds]

    def _some(self, judged: Batch, generator: torch.Generator) -> Batch:
        """At most `judged_images` examples: without replacement, or with it where the rule resamples."""
        count = min(self._config.judged_images, len(judged.y))
        if self._config.imbalance.sampling is Sampling.UNIFORM:
            order = torch.randperm(len(judged.y), generator=generator)[:count]
        else:
            order = self._rule.rows(generator, self._rule.chances(judged.y), count, progress=1.0)
        return Batch(*(part.index_select(0, order.to(part.device)) for part in judged))

    def _labelled(self, *splits: Split) -> Batch:
        x, y = self._context.problem.labelled(*splits)
        return Batch(x.to(self._context.device), y.to(self._context.device))

    def _new_trunk(self) -> Trunk:
        return Trunk(self._config.network(self._context, SEARCH_STREAM + self._fold), self._config, self._updates)

    def _learn(self) -> Tensor:
        learned, trunk = self._folds[self._fold].learned, self._trunk
        chances, progress = self._chances[self._fold], trunk.progress
        index = self._rule.rows(self._order, chances, self._config.batch_size, progress).to(learned.y.device)
        x, y = (part.index_select(0, index) for part in learned)
        with self._context.meter.unit("learn", x.shape, phase=Phase.SEARCH, examples=len(x)):
            loss = self._rule.loss(trunk.outputs(x), y, progress).mean()
            trunk.update(torch.autograd.grad(loss, tuple(trunk.network.parameters())))
        return loss.detach()

    def _worth(self, point: Point) -> float:
        """The reward of one candidate, on every copy of every image."""
        x, y = self._folds[self._fold].judged
        copies, policy = self._config.copies, self._candidate(point)
        examples = math.ceil(len(x) * copies / FORWARDS)
        with self._context.meter.unit("judge", x.shape, phase=Phase.SEARCH, examples=examples):
            many = policy.draw(x.repeat_interleave(copies, 0), self._noise)
            right = self._right(self._trunk.predict(many), y.repeat_interleave(copies, 0)).view(-1, copies)
        per_image = right.mean(1) if self._config.reward is Reward.MEAN else right.amax(1)
        return float(self._rule.mean(per_image, y, progress=1.0))

    def _right(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(N C,): accuracy for classes, else the negative loss."""
        if self._context.problem.kind is Kind.CLASSIFICATION:
            return (outputs.argmax(1) == y).float()
        return -self._context.problem.loss(outputs, y)

    def _candidate(self, point: Point) -> Policy:
        arms = (
            mixture((Operation(str(point[f"{arm}/operation"])),), *([_number(point, arm, name)] for name in NUMBERS))
            for arm in range(self._config.arms)
        )
        return Policy(entries=together(list(arms)))


def together(policies: Sequence[Policy]) -> tuple[PolicyEntry, ...]:
    """Every image goes through one of the policies, all equally likely; equal entries become one."""
    found: dict[tuple[Operation, float, float | None], float] = {}
    for entry in (entry for policy in policies for entry in policy.entries):
        kind = (entry.operation, entry.magnitude, entry.limit)
        found[kind] = found.get(kind, 0.0) + entry.weight / len(policies)
    return tuple(
        PolicyEntry(operation=operation, weight=min(1.0, weight), magnitude=magnitude, limit=limit)
        for (operation, magnitude, limit), weight in found.items()
    )


def _space(operations: tuple[Operation, ...], arms: int) -> Space:
    names = tuple(operation.value for operation in operations)
    return Space({
        f"{arm}/{name}": domain for arm in range(arms)
        for name, domain in (("operation", Choice(options=names)), *((n, Float(low=0, high=1)) for n in NUMBERS))
    })


def _number(point: Point, arm: int, name: str) -> float:
    value = point[f"{arm}/{name}"]
    assert isinstance(value, float)
    return value

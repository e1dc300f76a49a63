"""A bilevel search whose policy is differentiable: choice and ranges, along an estimated hypergradient."""

from __future__ import annotations

from torch import Tensor

from spaces.policies import Policy
from spaces.transforms import Operation
from trainables.method import Context
from trainables.modules.bilevel_search import BilevelSearch
from trainables.modules.hypergradient import Estimate, Estimator, Step, Weights
from trainables.modules.learned_policy import LearnedPolicy, Mixing, fixed_policy
from trainables.modules.policy_recipe import GradientConfig
from trainables.problems.problem import Batch


class PolicySearch(BilevelSearch):
    """Over a `LearnedPolicy`.

    Args:
        config: of the inner steps and of the outer ones.
        operations: the K operations.
        updates: length of the search.
        estimator: of the hypergradient.
    """

    def __init__(
        self, context: Context, config: GradientConfig, operations: tuple[Operation, ...], updates: int,
        estimator: Estimator,
    ) -> None:
        self.learned = LearnedPolicy(operations, config.initial_range, config.learns)
        self._mixing, self._estimator = config.mixing, estimator
        branches = len(operations) + 1 if config.mixing is Mixing.EXACT else 1
        super().__init__(context, config, config, self.learned, updates, estimator.passes, branches)

    def _estimated(self, batch: Batch, held_out: Batch) -> Estimate:
        before = self._noise.get_state()

        def inner(weights: Weights) -> Tensor:
            self._noise.set_state(before)  # the same function at every call
            return self._inner_loss(weights, batch)

        return self._estimator.estimate(
            inner,
            lambda weights: self._outer_loss(weights, held_out),
            tuple(self.trunk.network.parameters()),
            self._phi,
            Step(self.trunk.learning_rate, self._recipe.weight_decay),
        )

    def _inner_loss(self, weights: Weights, batch: Batch) -> Tensor:
        def loss_of(x: Tensor) -> Tensor:
            y = batch.y.repeat(len(x) // len(batch.y), *[1] * (batch.y.dim() - 1))
            return self._rule.loss(self._network(weights, x), y, self.trunk.progress)

        return self.learned.loss(loss_of, batch.x, self._mixing, self._noise)

    def _policy_of(self, phi: tuple[Tensor, ...]) -> Policy:
        found = iter(phi)
        halves = (self.learned.choice_logits, self.learned.range_logits)
        choice, ranges = (next(found) if half.requires_grad else half for half in halves)
        return fixed_policy(self.learned.operations, choice, ranges)

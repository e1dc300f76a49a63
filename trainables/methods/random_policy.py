"""The searched space without a search: a policy drawn at random, another one for every seed."""

from __future__ import annotations

from typing import ClassVar

import torch

from spaces.domain import Space
from spaces.policies import Policy
from spaces.transforms import Operation
from trainables.method import Context, Method, Role
from trainables.modules.frozen import FrozenPolicy
from trainables.modules.policy_space import SpaceConfig, mixture
from trainables.modules.recipe import RECIPE_DOMAINS


class Config(SpaceConfig):
    """The shared recipe, and the space: weights uniform on the simplex with the identity, bounds uniform in [0, 1].

    Args:
        operations: see `SpaceConfig`.
        policy: what was drawn; then nothing is.
    """

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    control: ClassVar[bool] = True

    policy: Policy | None = None

    def used(self) -> tuple[Operation, ...]:
        """Of a policy that is given, its own operations."""
        return self.operations if self.policy is None else self.policy.operations

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or an operation does not fit them."""
        operations = self.fitting("random_policy", context)
        if self.policy is not None:
            return FrozenPolicy(context, self, self.policy)
        generator = context.generator(Role.SEARCH)
        # Exponential shares of their sum are uniform on the simplex (Dirichlet(1, ..., 1)); u is below 1.
        shares = -torch.log1p(-torch.rand(len(operations) + 1, generator=generator, dtype=torch.float64))
        bounds = torch.rand(len(operations), generator=generator, dtype=torch.float64)
        policy = mixture(operations, (shares / shares.sum()).tolist()[1:], bounds.tolist())
        return FrozenPolicy(context, self, policy)

"""The searched space without a search: every operation alike, at strengths up to its limit."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from spaces.domain import Space
from trainables.method import Context, Method
from trainables.modules.frozen import ThroughPolicy
from trainables.modules.policy_space import SpaceConfig, mixture
from trainables.modules.recipe import RECIPE_DOMAINS


class Config(SpaceConfig):
    """The shared recipe, and the space; with `random_policy` it tells what the search adds to the space.

    Args:
        operations: see `SpaceConfig`.
        magnitude: r of every operation, as a share of its limit; strengths are uniform in [0, r].
    """

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    control: ClassVar[bool] = True

    magnitude: float = Field(default=1.0, ge=0, le=1)

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or an operation does not fit them."""
        operations = self.fitting("uniform_policy", context)
        count = len(operations)
        policy = mixture(operations, [1 / (count + 1)] * count, [self.magnitude] * count)
        return ThroughPolicy(context, self, policy)

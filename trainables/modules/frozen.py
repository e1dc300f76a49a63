"""Training from scratch through a fixed policy: controls, and what a search arrived at, without the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Generator, Tensor

from spaces.policies import Policy
from trainables.method import Context, Role
from trainables.modules.policy_takeaway import IMAGES, export
from trainables.modules.recipe import RecipeConfig
from trainables.modules.supervised import Supervised


class ThroughPolicy(Supervised):
    """The shared loop on train + outer, one drawn operation per image.

    Args:
        policy: fixed.
        describe: policy -> its values, in the words of the method that found it.
    """

    def __init__(
        self,
        context: Context,
        recipe: RecipeConfig,
        policy: Policy,
        describe: Callable[[Policy], Mapping[str, float]] = Policy.physical,
    ) -> None:
        super().__init__(context, recipe, policy.draw)
        self.policy, self._describe = policy, describe

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self.policy.draw(x, generator)

    def describe(self) -> Mapping[str, float]:
        return self._describe(self.policy)

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `policy_takeaway`."""
        return export(self.policy, shown_images(self._context), folder)


class FrozenPolicy(ThroughPolicy):
    """What a search arrived at: `found` is the searching method's configuration with `policy` in it."""

    def found(self) -> RecipeConfig:
        return self._recipe.model_copy(update={"policy": self.policy})


def shown_images(context: Context) -> Tensor:
    """A few of the problem's inputs, (IMAGES, C, H, W)."""
    return context.problem.unlabelled(context.generator(Role.ORDER, 1), IMAGES).to(context.device)

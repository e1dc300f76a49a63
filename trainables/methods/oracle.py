"""Augmentation by what was planted: a bound for every search, for whoever knows the answer."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator
from torch import Generator, Tensor

from spaces.domain import Space
from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.invariance import planted_sampler
from trainables.method import Context, NetworkBuilder
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.modules.supervised import Supervised
from trainables.modules.tail_augmentation import Mixing, TailRecipe
from trainables.problems.bank import absent, wider
from trainables.problems.problem import View


class Config(TailRecipe):
    """The shared recipe, and the ranges it is told, as for the problem's own `nuisance`.

    No control: what it knows no method can know, so that it is never the row that others have to beat. Where training
    images carry a nuisance already, the ranges act on what the images were before it (`redraws`).

    Args:
        ranges: action of the problem's transform bank -> half-width r in its unit; strengths are uniform in [-r, r], or
            in [0, r] where the action has no sign, and flips are drawn by a coin; all actions act on every input. None
            is plain training.
        redraws: whether images that carry planted nuisances are taken as they were before all of them, those too that
            `ranges` do not name, so that what is trained on is a new draw of T. Without it the ranges act on top: twice
            T is not T, but for full turns. They do so, too, where a wrapper changed images after a nuisance.
    """

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    told: ClassVar[bool] = True

    ranges: dict[str, float] = Field(default_factory=dict)
    redraws: bool = True

    @model_validator(mode="after")
    def _acts_on_something(self) -> Self:
        if not self.ranges:
            refuse_idle(self, ("cutoff", "replaced", "start", "redraws"), "what the `ranges` act on", "name `ranges`")
        return self

    @classmethod
    def quick(cls) -> Config:
        return cls(ranges={"rotation": 30.0})

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where a name is not in the bank, or a range beyond its limit."""
        super().fits(problem, network)
        bank = {action.name: action for action in problem.transform_bank}
        for name, reach in self.ranges.items():
            if name not in bank:
                raise UserError("the oracle's ranges must name actions of the bank", name, absent(name, bank))
            if not 0 <= reach <= bank[name].limit:
                raise UserError(
                    f"the range of `{name}` must lie in [0, {bank[name].limit:g}] {bank[name].unit}".rstrip(), reach,
                    wider(bank[name], reach) if reach > 0 else "a range is a half-width: how far either way",
                )

    def build(self, context: Context) -> Oracle:
        """Raises UserError as `fits`."""
        return Oracle(context, self)


class Oracle(Supervised):
    """The shared loop through the planted actions."""

    def __init__(self, context: Context, config: Config) -> None:
        config.fits(context.problem, context.network)
        self._planted = planted_sampler(context.problem.transform_bank, config.ranges)
        originals = context.originals if config.redraws and config.ranges else None
        super().__init__(context, config, self.sample, Mixing.of(context, config), originals)

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._planted(x, generator)

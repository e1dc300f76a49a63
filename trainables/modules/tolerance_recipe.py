"""Settings of density matching by what a trained network tolerates."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from spaces.domain import Int, Space
from trainables.method import NetworkBuilder
from trainables.modules.parzen import STARTUP
from trainables.modules.policy_recipe import SearchConfig, require_outer
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.problems.problem import View


class Judged(StrEnum):
    """Which images a candidate policy is judged on."""

    FOLD = "fold"    # of train + outer, those that the network has not learned from (published)
    OUTER = "outer"  # the validation images (ours); the network learns from `train`


class Reward(StrEnum):
    """What the augmented copies of an image are worth together."""

    MEAN = "mean"  # their mean accuracy: the paper's formula
    ANY = "any"    # one of them is right: the public code


class ToleranceConfig(SearchConfig):
    """The shared recipe (of the networks that judge, and of the training after the search), and the search.

    Args:
        judged: which images policies are judged on.
        reward: what their copies are worth.
        folds: networks that judge; all of them together train for `search_fraction` horizons. Published 5.
        share: of the images, that is judged in a fold; published 0.4.
        candidates_per_update: policies that TPE proposes per update of a network; published 200 per fold, after 200
            epochs. A number for itself would not shrink with the horizon, and short trainings would be all search.
        arms: of a candidate, all with the same weight: an operation, its probability, its range. Published: five
            sub-policies of two operations each.
        kept: best candidates per fold, whose arms make the policy together; published 10.
        judged_images: at most, per candidate.
        copies: of each of them; the public code has 5.

    `tail` has no meaning here: nothing is averaged.
    """

    space: ClassVar[Space] = Space({**RECIPE_DOMAINS, "kept": Int(low=1, high=20, log=True)})

    judged: Judged = Judged.FOLD
    reward: Reward = Reward.MEAN
    folds: int = Field(default=2, ge=1)
    share: float = Field(default=0.4, gt=0, lt=1)
    candidates_per_update: float = Field(default=0.8, gt=0)
    arms: int = Field(default=5, ge=1)
    kept: int = Field(default=10, ge=1)
    judged_images: int = Field(default=256, ge=1)
    copies: int = Field(default=5, ge=1)

    def turns(self, updates: int) -> tuple[int, int]:
        """Updates of a network and candidates that it judges, in a search of so many updates."""
        learned = max(1, updates // self.folds)
        return learned, max(1, round(self.candidates_per_update * learned))

    def cautions(self, horizon: int) -> tuple[str, ...]:
        """Where what is kept is everything, or what TPE draws at random, the reward chooses little or nothing."""
        _, candidates = self.turns(self.search_updates(horizon))
        if self.kept >= candidates:
            return (f"all {candidates} candidates of a fold are kept (kept = {self.kept}), so that their reward "
                    "chooses nothing; try a longer search or fewer `kept`",)
        if candidates <= STARTUP:
            return (f"the {candidates} candidates of a fold are all of TPE's random start ({STARTUP}), so that their "
                    "reward proposes nothing; try a longer search or more `candidates_per_update`",)
        return ()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where `outer` is judged and too small for that, too."""
        super().fits(problem, network)
        if self.policy is None and self.judged is Judged.OUTER:
            require_outer(problem, "a policy that is judged on `outer`")

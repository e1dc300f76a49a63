"""Settings of density matching by a critic."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from spaces.domain import Float, Space
from trainables.method import NetworkBuilder
from trainables.modules.policy_recipe import SearchConfig, require_outer
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.problems.problem import LEARNABLE, Split, View


class Reference(StrEnum):
    """What augmented images are to look like."""

    TRAIN = "train"  # the images themselves (published): cannot find an invariance that they lack, and drives it out
    OUTER = "outer"  # the validation images (ours): finds what sets them apart from `train`

    @property
    def augmented(self) -> tuple[Split, ...]:
        """Which images are augmented in the search."""
        return LEARNABLE if self is Reference.TRAIN else (Split.TRAIN,)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Which images are the reference."""
        return LEARNABLE if self is Reference.TRAIN else (Split.OUTER,)


class DensityConfig(SearchConfig):
    """The shared recipe (of the training after the search alone), and the search.

    Args:
        reference: what augmented images are to look like.
        critic_learning_rate: Adam's; published 1e-3.
        policy_learning_rate: Adam's; published 1e-3, for twenty epochs of 4,000 images.
        penalty: weight of the gradient penalty; published 10.
        classification: weight of the cross-entropy; published 0.1.
        initial_range: r of every operation at the start; published: uniform in (0, 1).
        imbalance: the search takes sampling and weights; its critic's classifier keeps the problem's own loss.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS, "policy_learning_rate": Float(low=0.001, high=0.1, log=True),
    })

    reference: Reference = Reference.TRAIN
    critic_learning_rate: float = Field(default=1e-3, gt=0, le=1)
    policy_learning_rate: float = Field(default=0.01, gt=0, le=1)
    penalty: float = Field(default=10.0, ge=0)
    classification: float = Field(default=0.1, ge=0)
    initial_range: float = Field(default=0.25, gt=0, lt=1)

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where `outer` is the reference and too small for one, too."""
        super().fits(problem, network)
        if self.policy is None and self.reference is Reference.OUTER:
            require_outer(problem, "the reference `outer`")

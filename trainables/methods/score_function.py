"""Bilevel policy search by the score function (the class of SLACK; Marrie et al. 2023).

A categorical over operations with ranges is moved towards the arms whose gradients agree with that of the loss on
`outer`, in rounds that begin again with the same weights; then a new network is trained from scratch through what was
found.

Deviations from SLACK: one operation per image instead of three in a row; every image is a sample of its own (SLACK:
eight composites per step); rewards by a central difference; ranges are arms instead of smoothed uniform magnitudes with
their own gradient; Adam instead of SGD; a round begins with outer steps at once (SLACK trains a thousand steps first);
a constant learning rate and no clipping of gradients.
"""

from __future__ import annotations

from pydantic import Field

from spaces.transforms import Operation
from trainables.method import Context, Method
from trainables.modules.arm_search import ArmSearch
from trainables.modules.policy_method import policy_method
from trainables.modules.policy_recipe import BilevelConfig


class Config(BilevelConfig):
    """What policy searches share, and the rounds.

    Args:
        rounds: of the search; published: 10.
        anchor_strength: of KL(pi || anchor), the anchor being the policy that a round began with. Published 0.02, for
            rewards that are not z-scored; 0.5 was what a toy with z-scored ones of eight samples did well with. Ours
            lies between the two, was not tuned, and is not among what a study tunes.
    """

    rounds: int = Field(default=4, ge=1)
    anchor_strength: float = Field(default=0.05, ge=0)

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or no operation fits them."""

        def start(operations: tuple[Operation, ...], updates: int) -> ArmSearch:
            return ArmSearch(context, self, operations, updates, self.rounds, self.anchor_strength)

        return policy_method("score_function", context, self, start)

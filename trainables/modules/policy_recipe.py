"""Settings that policy searches share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from spaces.domain import Float, Space
from spaces.policies import Policy
from spaces.transforms import TRANSFORMS, Operation, Strength
from tracking.errors import UserError
from trainables.method import NetworkBuilder
from trainables.modules.learned_policy import Learns, Mixing
from trainables.modules.policy_space import SpaceConfig
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.problems.problem import Kind, Split, View

LEAST_OUTER = 2    # examples per class: with one, a class is one image of it
FEW_STEPS = 10     # outer ones: Adam moves a logit by about its learning rate in each
MOST_REPEATS = 20  # of an example in one outer step; beyond, nothing but cost is added


class SearchConfig(SpaceConfig):
    """The shared recipe (for the search's own training and for the one after it), the space, and the search's length.

    Args:
        search_fraction: length of the search in horizons.
        tail: share of the search, at its end, over which the policy's parameters are averaged.
        policy: what a search found; then there is no search.
    """

    batch_size: int = Field(default=64, ge=2)  # searches compare the images of a batch
    search_fraction: float = Field(default=1.0, gt=0)
    tail: float = Field(default=0.3, gt=0, le=1)
    policy: Policy | None = None

    def search_updates(self, horizon: int) -> int:
        """Length of the search."""
        return max(1, round(self.search_fraction * horizon))

    def cautions(self, horizon: int) -> tuple[str, ...]:
        """What a person should know of a search so long and with these settings, one sentence each."""
        return ()

    def idle(self) -> frozenset[str]:
        """Of a policy that is given only the training is left to tune."""
        return frozenset() if self.policy is None else self.beyond_training()

    def used(self) -> tuple[Operation, ...]:
        """Of a policy that is given, its own operations."""
        return self.operations if self.policy is None else self.policy.operations


def require_outer(problem: View, what: str) -> None:
    """Raises UserError where `outer` is too small for what is to be read off it.

    Args:
        what: that is, for the message.
    """
    size = problem.size(Split.OUTER)
    least = LEAST_OUTER * (problem.outputs if problem.kind is Kind.CLASSIFICATION else 1)
    if size < least:
        raise UserError(
            f"{what} needs {LEAST_OUTER} validation examples per class on average",
            f"{size} in `outer`, {least} are needed", "more labels, or more of them in `outer` by `shares`",
        )


class BilevelConfig(SearchConfig):
    """With outer steps on the loss of `outer`.

    Args:
        outer_learning_rate: Adam's, for what the policy is made of.
        outer_warm_up: share of the search before the first outer step.
        outer_interval: updates per outer step.
        outer_batch_ratio: validation examples per outer step in batches, drawn afresh; 2 at least.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "outer_learning_rate": Float(low=0.005, high=0.2, log=True),
    })

    outer_learning_rate: float = Field(default=0.02, gt=0, le=1)
    outer_warm_up: float = Field(default=0.1, ge=0, le=0.9)
    outer_interval: int = Field(default=1, ge=1)
    outer_batch_ratio: int = Field(default=2, ge=2)

    @model_validator(mode="after")
    def _averaged_after_warm_up(self) -> Self:
        """Before the first outer step the policy stands still: a mean over that time is pulled to where it began."""
        if self.policy is None and self.tail + self.outer_warm_up > 1 + 1e-9:
            raise UserError(
                "the policy is averaged over outer steps alone: `tail` + `outer_warm_up` is 1 at most",
                f"{self.tail:g} + {self.outer_warm_up:g}", f"a `tail` of {1 - self.outer_warm_up:g} or less",
            )
        return self

    def cautions(self, horizon: int) -> tuple[str, ...]:
        """Where outer steps are too few to move the policy."""
        updates = self.search_updates(horizon)
        steps = -(-(updates - round(self.outer_warm_up * updates)) // self.outer_interval)
        if steps >= FEW_STEPS:
            return ()
        took = f"{steps} outer {'step' if steps == 1 else 'steps'} in {updates} updates of the search"
        return (f"{took} are too few to move the policy far; try a longer search or a smaller `outer_interval`",)

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where `outer` is too small for the loss that is to be descended on it, too."""
        super().fits(problem, network)
        if self.policy is not None:
            return
        require_outer(problem, "the outer loss of a search")
        size, read = problem.size(Split.OUTER), self.batch_size * self.outer_batch_ratio
        if read > MOST_REPEATS * size:
            raise UserError(
                f"an outer step may read each validation example {MOST_REPEATS} times at most",
                f"batch_size x outer_batch_ratio = {read:,} of {size} in `outer`", "lower one of the two",
            )


class GradientConfig(BilevelConfig):
    """With a policy that is differentiable.

    Args:
        mixing: how the choice of operation enters the inner loss.
        initial_range: r of every operation at the start.
        learns: the choice, the ranges, or both.
    """

    mixing: Mixing = Mixing.SAMPLED
    learns: Learns = Learns.BOTH

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        blends = all(TRANSFORMS[operation].strength is Strength.BLEND for operation in self.operations)
        if self.learns is Learns.RANGES and blends:
            raise UserError(
                "a search for ranges needs an operation that has one", ", ".join(self.operations), "`learns: choice`",
            )
        return self
    initial_range: float = Field(default=0.1, gt=0, lt=1)

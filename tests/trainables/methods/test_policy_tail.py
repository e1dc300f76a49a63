"""What a search hands over: the policy of its parameters' mean over the last 30 % of the updates, nothing before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spaces.policies import Policy
from spaces.transforms import Operation
from tests.trainables.methods.recorded import recorded
from trainables.methods import faster_autoaugment, score_function, unrolled
from trainables.modules.arm_search import ArmSearch
from trainables.modules.density_matching import DensityMatching
from trainables.modules.hypergradient import OneStep
from trainables.modules.policy_method import Searching
from trainables.modules.policy_search import PolicySearch

OPERATIONS = (Operation.ROTATION, Operation.BRIGHTNESS)
UPDATES, TAIL = 20, 6
Phi = dict[str, Tensor]


def unrolled_search() -> Searching:
    config = unrolled.Config(batch_size=8, outer_learning_rate=0.2, outer_warm_up=0.0)
    return PolicySearch(recorded(UPDATES)[0], config, OPERATIONS, UPDATES, OneStep())


def arm_search() -> Searching:
    config = score_function.Config(batch_size=8, outer_learning_rate=0.2, outer_warm_up=0.0)
    return ArmSearch(recorded(UPDATES)[0], config, OPERATIONS, UPDATES, rounds=2, strength=0.0)


def density_matching() -> Searching:
    config = faster_autoaugment.Config(batch_size=8, policy_learning_rate=0.2)
    return DensityMatching(recorded(UPDATES)[0], config, OPERATIONS, UPDATES)


SEARCHES = pytest.mark.parametrize("start", [unrolled_search, arm_search, density_matching])


def numbers(policy: Policy) -> list[float]:
    return [number for entry in policy.entries for number in (entry.weight, entry.magnitude)]


def meant(phi: Phi, like: Policy) -> list[float]:
    """The numbers of the policy that parameters stand for; arms have magnitudes of their own, which nothing learns."""
    weights = phi["logits" if "logits" in phi else "choice_logits"].softmax(0)[1:].tolist()
    ranges = phi["range_logits"].sigmoid().tolist() if "range_logits" in phi else [e.magnitude for e in like.entries]
    return [number for pair in zip(weights, ranges, strict=True) for number in pair]


def mean(phis: list[Phi]) -> Phi:
    return {name: torch.stack([phi[name] for phi in phis]).mean(0) for name in phis[0]}


def values(search: Searching) -> Phi:
    return {name: value.double() for name, value in search.state_dict()["policy"].items()}


@SEARCHES
def test_the_policy_is_that_of_the_mean_over_the_tail(start: Callable[[], Searching]) -> None:
    search, seen = start(), []
    while search.left:
        search.update()
        seen.append(values(search))
    assert len(seen) == UPDATES
    policy = search.policy()
    found = numbers(policy)
    assert found == pytest.approx(meant(mean(seen[-TAIL:]), policy), rel=1e-6)
    for wrong in (1, TAIL - 1, TAIL + 1, UPDATES):
        assert found != pytest.approx(meant(mean(seen[-wrong:]), policy), rel=1e-4), f"the last {wrong}"


@SEARCHES
def test_before_the_tail_it_is_that_of_the_parameters_of_now(start: Callable[[], Searching]) -> None:
    search, before = start(), list[float]()
    for _ in range(UPDATES - TAIL):
        search.update()
        policy = search.policy()
        assert numbers(policy) == pytest.approx(meant(values(search), policy), rel=1e-6)
        assert numbers(policy) != pytest.approx(before, rel=1e-4), "and those move"
        before = numbers(policy)

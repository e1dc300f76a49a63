"""Slow: on real digits with a planted rotation the searches find it, and find none where there is none.

Seeds are fixed, so on one type of CPU the outcome is too; the rates stated are what to expect of other seeds.
"""

from __future__ import annotations

import math
import statistics
from functools import cache

import pytest

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from tests.support.planted import BILEVEL, HALF_WIDTH_DEG, HELD_OUT, accuracy, digits, learned, strength
from tests.support.planted import trained as run
from trainables.method import Method, MethodConfig
from trainables.methods import augnet, fast_autoaugment, faster_autoaugment, implicit, plain, unrolled
from trainables.modules.density_recipe import Reference
from trainables.modules.learned_policy import Learns
from trainables.modules.networks import Network
from trainables.modules.policy_recipe import GradientConfig
from trainables.modules.tolerance_recipe import Judged, Reward
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.problem import Split

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
EVERYWHERE = tuple(Split)


def trained(config: MethodConfig, problem: ArrayProblem, seed: int) -> Method:
    return run(config, problem, seed).end


@pytest.mark.parametrize("seed", range(3))
@BILEVEL
def test_bilevel_search_raises_the_missing_rotation(config: MethodConfig, seed: int) -> None:
    """Train upright, outer rotated: the range ends in [0.8, 2] times the planted one, and accuracy gains.

    5 of 5 seeds did so when this was written (56 to 76 degrees from a start of 18); a true rate of 0.9 would
    fail one of three seeds in 27 % of new draws.
    """
    problem = digits(HELD_OUT)
    method = trained(config, problem, seed)
    found = learned(method, "policy/rotation/range_deg")
    assert 0.8 * HALF_WIDTH_DEG <= found <= 2 * HALF_WIDTH_DEG
    assert accuracy(method, problem) > accuracy(trained(plain.Config(), problem, seed), problem) + 0.01


@pytest.mark.parametrize("start", [
    0.05, pytest.param(0.5, marks=pytest.mark.xfail(
        strict=True, raises=AssertionError, reason="beyond twice the true range little is lost",
    )),
])
@pytest.mark.parametrize("config", [unrolled.Config, implicit.Config])
def test_a_longer_search_finds_it_from_a_start_far_below_but_not_from_above(
    config: type[GradientConfig], start: float
) -> None:
    """Four of five seeds in [0.8, 2] times the true range, after 1,500 updates, from 9 and from 90 degrees.

    From below 8 and 44 to 74 degrees (one step) and 45 to 74 (implicit) when this was written; from above 68 to 137 and
    99 to 128: networks retrained with rotation in half of the images lose 1.2 points of accuracy from 45 to 127 degrees
    (ad hoc).
    """
    problem = digits(HELD_OUT)
    ends = [run(config(initial_range=start), problem, seed, updates=1500).end for seed in range(5)]
    found = [learned(end, "policy/rotation/range_deg") for end in ends]
    assert sum(0.8 * HALF_WIDTH_DEG <= width <= 2 * HALF_WIDTH_DEG for width in found) >= 4


@pytest.mark.parametrize("start", [0.05, 0.5])
@pytest.mark.parametrize("config", [unrolled.Config, implicit.Config])
def test_a_network_without_shared_weights_finds_it_from_both_starts(
    config: type[GradientConfig], start: float
) -> None:
    """From 9 and from 90 degrees into [0.8, 2] times the true range, on four of five seeds, and towards it on all.

    A multilayer perceptron loses by turns that are too wide, as the convolutions with pooling above do not. What is
    found is worth what the best fixed range is worth: within two points of its accuracy, in the mean over seeds.
    """
    problem = digits(HELD_OUT)
    ends = [run(config(initial_range=start), problem, seed, 1500, Network.MLP).end for seed in range(5)]
    found = [learned(end, "policy/rotation/range_deg") for end in ends]
    assert sum(0.8 * HALF_WIDTH_DEG <= width <= 2 * HALF_WIDTH_DEG for width in found) >= 4
    assert all(abs(math.log(width / HALF_WIDTH_DEG)) < abs(math.log(180 * start / HALF_WIDTH_DEG)) for width in found)
    fixed = max(_of_a_fixed_range(width) for width in (30.0, 45.0, 60.0, 90.0))
    assert statistics.fmean(accuracy(end, problem) for end in ends) > fixed - 0.02


@cache
def _of_a_fixed_range(width: float) -> float:
    """Mean accuracy over five seeds of trainings in which nine of ten images are turned by up to so much."""
    problem = digits(HELD_OUT)
    policy = Policy(entries=(PolicyEntry(operation=Operation.ROTATION, weight=0.9, limit=width),))
    config = unrolled.Config(policy=policy)
    return statistics.fmean(
        accuracy(run(config, problem, seed, 1500, Network.MLP).end, problem) for seed in range(5)
    )


def test_with_ranges_fixed_the_probability_of_the_missing_rotation_rises() -> None:
    """From a tenth to above .6 on four of five seeds, and on each seed above that of the control, upright images.

    .72 to .84 and .16 to .64 when this was written; five of five would come by chance in 3 % of draws.
    """
    config = unrolled.Config(learns=Learns.CHOICE, initial_range=HALF_WIDTH_DEG / 180)
    missing, upright = (
        [learned(run(config, digits(where), seed, 1500).end, "policy/rotation/probability") for seed in range(5)]
        for where in (HELD_OUT, ())
    )
    assert sum(share > 0.6 for share in missing) >= 4
    assert all(one > other for one, other in zip(missing, upright, strict=True))


@BILEVEL
def test_bilevel_search_finds_less_rotation_where_there_is_none(config: MethodConfig) -> None:
    """The control: everything upright. Probability times range stays below what the planted rotation makes of it.

    In degrees 3.2 for 13.8 (`unrolled`) and 5.7 for 9.1 (`implicit`) when this was written. Ranges alone are too close
    to each other: 38 for 58 and 34 for 37. What rises where nothing is missing is under test_nothing_to_learn.py.
    """
    none, missing = (strength(trained(config, digits(where), 0), "rotation") for where in ((), HELD_OUT))
    assert none < 0.8 * missing


@pytest.mark.parametrize("start", [0.05, 0.5])
def test_density_matching_with_outer_as_its_reference_finds_the_missing_rotation(start: float) -> None:
    """From both sides, 9 and 90 degrees: within 5 degrees of the planted half-width, and drawn nearly always.

    3 of 3 runs ended at 43.6 to 44.3 with a probability of .97 and more when this was written.
    """
    config = faster_autoaugment.Config(reference=Reference.OUTER, initial_range=start)
    method = trained(config, digits(HELD_OUT), 0)
    assert abs(learned(method, "policy/rotation/range_deg") - HALF_WIDTH_DEG) < 5
    assert learned(method, "policy/rotation/probability") > 0.8


def test_density_matching_on_the_training_images_drives_rotation_out() -> None:
    """As published: what the images lack goes. Asserted to do the opposite of what validation-driven searches do."""
    method = trained(faster_autoaugment.Config(), digits(()), 0)
    assert learned(method, "policy/rotation/probability") < 0.05  # 0.1 at the start; .01 when this was written
    assert learned(method, "policy/rotation/range_deg") < HALF_WIDTH_DEG / 2  # 45 at the start


@pytest.mark.parametrize("judged", Judged)
def test_what_a_network_tolerates_depends_on_how_copies_are_rewarded(judged: Judged) -> None:
    """By the mean of copies, rotation is what an upright network does not tolerate; if one right copy is enough, it is
    how turned images are turned back. The first must not find the missing invariance, the second does.

    Seed 0, 200 candidates a fold: probability 0 (fold) and .03 (outer) against .13 and .34, at 30, 13, 76, 83 degrees.
    Twenty candidates drawn at random have .054 with a standard deviation of .018 and about 90 degrees: a strength of 5.
    """
    problem = digits(HELD_OUT)
    mean, any_copy = (
        trained(fast_autoaugment.Config(judged=judged, reward=reward), problem, 0)
        for reward in (Reward.MEAN, Reward.ANY)
    )
    assert strength(mean, "rotation") < 1
    assert learned(any_copy, "policy/rotation/probability") > 0.1
    assert learned(any_copy, "policy/rotation/range_deg") > 0.8 * HALF_WIDTH_DEG
    assert accuracy(any_copy, problem) > accuracy(mean, problem) + 0.01


def test_augnet_chooses_rotation_only_where_images_are_rotated() -> None:
    """Rotated everywhere: a soft choice that depends on the seed (as published code does), so 6 seeds are drawn.

    At the rate of 0.7 seen on other seeds fewer than 2 of 6 choose rotation in 1.1 % of draws. On upright digits
    0 of 6 did; there the harmless shear takes the slot.
    """
    rotated = [trained(augnet.Config(), digits(EVERYWHERE), seed) for seed in range(6)]
    chosen = [method for method in rotated if learned(method, "rotation/weight") > 0.5]
    assert len(chosen) >= 2
    assert all(10 < learned(method, "rotation/width_deg") < 90 for method in chosen)
    upright = [trained(augnet.Config(), digits(()), seed) for seed in range(3)]
    assert all(learned(method, "rotation/weight") < 0.5 for method in upright)

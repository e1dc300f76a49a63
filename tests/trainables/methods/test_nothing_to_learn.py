"""Slow: searches where validation images are like the training images, upright digits both: rotation is not missing.

How much they turn images must not rise, and the loss of the network that is trained afterwards must not be above that
of plain training. The second holds everywhere; the first where a network loses by turns, and not of `implicit`.
"""

from __future__ import annotations

import statistics
from functools import cache
from typing import NamedTuple

import pytest
from torch.nn.functional import cross_entropy

from tests.support.planted import digits, strength
from tests.support.planted import trained as run
from trainables.method import Method
from trainables.methods import implicit, plain, score_function, unrolled
from trainables.modules.networks import Network
from trainables.problems.problem import Split

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SEEDS = range(3)
METHODS = {"unrolled": unrolled.Config(), "implicit": implicit.Config(), "score_function": score_function.Config()}
NETWORKS = (Network.MLP, Network.SMALL_CNN)


class Searched(NamedTuple):
    """Probability times range of rotation in degrees, before and after a search, and the test loss in the end."""

    before: float
    after: float
    loss: float


@cache
def searched(name: str, network: Network, seed: int) -> Searched:
    """600 updates, from 18 degrees in a tenth of the images; `score_function` begins with all its arms alike."""
    start, end = run(METHODS[name], digits(()), seed, network=network)
    return Searched(strength(start, "rotation"), strength(end, "rotation"), loss_of(end))


@cache
def plain_loss(network: Network, seed: int) -> float:
    return loss_of(run(plain.Config(), digits(()), seed, network=network).end)


def loss_of(method: Method) -> float:
    x, y = digits(()).examples(Split.TEST)
    return float(cross_entropy(method.predict(x), y))


def must_rise(name: str, network: Network, reason: str) -> object:
    mark = pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)
    return pytest.param(name, network, marks=mark)


@pytest.mark.parametrize(("name", "network"), [
    ("unrolled", Network.MLP),
    ("score_function", Network.MLP),
    ("score_function", Network.SMALL_CNN),
    must_rise("unrolled", Network.SMALL_CNN, "its range widens by more than its probability falls, on two of three"),
    must_rise("implicit", Network.MLP, "it draws rotation more often, on three of three seeds, and no less far"),
    must_rise("implicit", Network.SMALL_CNN, "it draws rotation more often and further, on three of three seeds"),
])
def test_rotation_does_not_rise_where_none_is_missing(name: str, network: Network) -> None:
    """In the mean over seeds, in degrees; from 1.8 for `unrolled` and `implicit`, from 9.1 for `score_function`.

    On `mlp` 1.1, 1.2 and .7 (`unrolled`), 3.8, 3.1 and 2.6 (`implicit`), 4.9, 4.6 and 4.3 (`score_function`) when this
    was written, on `small_cnn` 3.2, 1.9 and 1.6; 5.7, 2.7 and 4.3; 3.3, 2.4 and 3.0.
    """
    ends = [searched(name, network, seed) for seed in SEEDS]
    assert statistics.fmean(end.after for end in ends) <= statistics.fmean(end.before for end in ends)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", METHODS)
def test_a_search_for_nothing_costs_nothing(name: str, network: Network) -> None:
    """On every seed the loss on test images is no higher than plain training's."""
    for seed in SEEDS:
        assert searched(name, network, seed).loss <= plain_loss(network, seed)

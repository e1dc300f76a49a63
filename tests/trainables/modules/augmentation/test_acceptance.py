"""Slow: the learned ranges of AugNet's two studies, on data of our own, over five seeds.

A band is met when four of five seeds are inside. What was measured is in
docs/measured/augmentation.md.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from spaces.signals import frequency_shift
from tests.support.joint_loop import fitted, small_network
from trainables.modules.augmentation import (
    InvariantModel,
    LearnedAffine,
    LearnedRange,
    LearnedSignal,
    Parametrisation,
    Reward,
    SignalOperation,
    range_reward,
)
from trainables.modules.augmentation.published import LIMITS, AugNetLayer
from trainables.problems.glyphs import Config as Glyphs
from trainables.problems.problem import Split
from trainables.problems.sinusoids import RATE
from trainables.problems.sinusoids import Config as Sinusoids
from trainables.relative_invariance import relative_invariance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]
SEEDS, ENOUGH = 5, 4


def glyphs(spread: float, seed: int) -> tuple[Tensor, Tensor]:
    data = Glyphs(test=16, spread=spread).load(seed)
    return torch.from_numpy(data.pool[Split.TRAIN]).float() / 255, torch.from_numpy(data.pool_y)


def fused(start: float = 1 / 8) -> LearnedAffine:
    return LearnedAffine(tuple(LIMITS), LIMITS, start, Parametrisation.SOFTPLUS)


def rotation(learned: tuple[LearnedRange, ...]) -> LearnedRange:
    return next(one for one in learned if one.name == "rotation")


def degrees(spread: float, seed: int, reward: float, rate: float) -> float:
    layer = fused()
    fitted(lambda: small_network(3, 4), layer, *glyphs(spread, seed), 8, seed, lambda: reward * range_reward(layer),
           layer_rate=rate)
    return rotation(layer.learned()).high


def enough(values: list[float], inside: Callable[[float], bool]) -> None:
    """At least ENOUGH of SEEDS values; how many is printed (pytest -rA shows it)."""
    count = sum(inside(value) for value in values)
    print([round(value, 3) for value in values], f"{count} of {len(values)}")
    assert len(values) == SEEDS and count >= ENOUGH, values


def test_a_fused_ranges_find_how_far_a_glyph_may_be_turned() -> None:
    enough([degrees(45.0, seed, 0.1, 3e-3) for seed in range(SEEDS)], lambda found: 42 <= found <= 51)


def test_b_the_published_layer_chooses_rotation_and_its_range() -> None:
    found = []
    for seed in range(SEEDS):
        layer = AugNetLayer()

        def paid(layer: AugNetLayer = layer) -> Tensor:
            return 0.5 * range_reward(layer, Reward.WEIGHTED_NORM) - layer.decay()

        # Published: 5e-4 for both, on ranges themselves; their logits need nine times that for the same step.
        rates = {"logits": 5e-4, "layer.ranges.logits": 4.6e-3}
        fitted(lambda: small_network(3, 4), layer, *glyphs(45.0, seed), 8, seed, paid, layer_rate=rates)
        found.append(rotation(layer.learned()))
    enough([one.high for one in found], lambda high: 43 <= high <= 50)
    enough([one.weight for one in found], lambda weight: weight > 0.95)
    assert sum(43 <= one.high <= 50 and one.weight > 0.95 for one in found) >= ENOUGH, found


def test_e_nothing_may_be_turned_where_the_classes_touch() -> None:
    """The negative control of A: +-90 degrees of data leave no room. Where they leave 45 the same settings find some.

    A turn by r confuses a share of images that is proportional to r, so r dCE/dr = lambda leaves a range proportional
    to lambda: about 24 degrees at the 0.1 of A, of which a fifth is taken here.
    """
    enough([degrees(90.0, seed, 0.02, 1e-2) for seed in range(SEEDS)], lambda found: found < 10)
    enough([degrees(45.0, seed, 0.02, 1e-2) for seed in range(SEEDS)], lambda found: found > 25)


def signals(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    data = Sinusoids().load(seed)
    return (torch.from_numpy(data.pool[Split.TRAIN]), torch.from_numpy(data.pool_y),
            torch.from_numpy(data.test_x), torch.from_numpy(data.test_y))


class FrequencyNetwork(nn.Sequential):
    """A long filter bank, a short one, mean over time: what can read a frequency."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(1, 2, 100), nn.BatchNorm1d(2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(2, 2, 3), nn.BatchNorm1d(2),
            nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 4),
        )


def shift(start: float = 0.05) -> LearnedSignal:
    return LearnedSignal(1000, RATE, operations=[SignalOperation.FREQUENCY_SHIFT], start=start,
                         parametrisation=Parametrisation.SOFTPLUS)


def hertz(seed: int, reward: float) -> float:
    layer = shift()
    x, y, _, _ = signals(seed)
    fitted(FrequencyNetwork, layer, x, y, 50, seed, lambda: reward * range_reward(layer), batch=32, rate=1e-2,
           decay=1e-4, layer_rate=1e-2)
    return layer.learned()[0].high


def test_c_a_shift_is_found_in_hertz_and_shrinks_without_a_reward() -> None:
    enough([hertz(seed, 0.1) for seed in range(SEEDS)], lambda found: 0.40 <= found <= 0.65)
    enough([hertz(seed, 0.0) for seed in range(SEEDS)], lambda found: found < 0.1)


def perceptron(width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    before = 1000
    for _ in range(depth):
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, 4))


def invariance(outputs: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, seed: int) -> float:
    """AugNet's metric against a shift of up to 0.5 Hz, on outputs before the softmax."""
    g = torch.Generator().manual_seed(seed)
    moved = frequency_shift(x, torch.rand(len(x), generator=g) - 0.5, RATE)
    with torch.no_grad():
        return relative_invariance(outputs(x), outputs(moved), y, g)


def perceptron_through(
    layer: LearnedSignal, width: int, depth: int, seed: int, reward: float, rate: float
) -> InvariantModel:
    x, y, _, _ = signals(seed)
    return fitted(lambda: perceptron(width, depth), layer, x, y, 50, seed, lambda: reward * range_reward(layer),
                  batch=32, rate=1e-2, decay=1e-4, layer_rate=rate).eval()


def averaged(model: InvariantModel, copies: int, seed: int) -> Callable[[Tensor], Tensor]:
    def outputs(inputs: Tensor) -> Tensor:
        g = torch.Generator().manual_seed(seed)
        return torch.stack([model.trunk(model.augmentation.draw(inputs, g)) for _ in range(copies)]).mean(0)

    return outputs


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (2, 1), (2, 2), (2, 3)])
def test_d_averaging_makes_small_networks_invariant(width: int, depth: int) -> None:
    """Ten copies against one, and against a network that was trained without augmentation; medians of five seeds."""
    gains, over = [], []
    for seed in range(SEEDS):
        _, _, x, y = signals(seed)
        model = perceptron_through(shift(), width, depth, seed, reward=0.1, rate=1e-2)
        plain = perceptron_through(shift(1e-6), width, depth, seed, reward=0.0, rate=0.0)
        ten, one = (invariance(averaged(model, copies, seed), x, y, seed) for copies in (10, 1))
        gains.append(ten - one)
        over.append(ten - invariance(plain.trunk, x, y, seed))
    print([round(value, 3) for value in (*gains, *over)])
    assert median(gains) >= 0.15 and median(over) >= 0.25, (gains, over)

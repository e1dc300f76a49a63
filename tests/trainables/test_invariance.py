"""Measured invariance and averaging against closed forms, on points in the plane that a rotation turns exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import log_softmax

from trainables.invariance import averaged, common_sampler, measure
from trainables.problems.problem import Action, Kind

COUNT = 360


def circle() -> Tensor:
    """Points (360, 2) on the unit circle, half a degree off the axes: no turn by whole degrees meets a border."""
    angle = torch.deg2rad(torch.arange(COUNT, dtype=torch.float64) + 0.5)
    return torch.stack((angle.cos(), angle.sin()), dim=1)


def turn(x: Tensor, v: Tensor) -> Tensor:
    """T_v turns by 90 v degrees."""
    angle = torch.deg2rad(90.0 * v)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]), dim=1)


ROTATION = Action("rotation", "deg", 90.0, True, turn)
GROWTH = Action("growth", "", 1.0, False, lambda x, v: x * (1 + v[:, None]))


def upper_half(x: Tensor, sharpness: float = 3.0) -> Tensor:
    """Logits of "the point lies above the axis": reads the rotation."""
    return torch.stack((sharpness * x[:, 1], torch.zeros_like(x[:, 1])), dim=1)


def radius(x: Tensor) -> Tensor:
    """Logits that ignore the rotation."""
    r = x.norm(dim=1)
    return torch.stack((r, 1 - 2 * r), dim=1)


def found(
    predict: object, ranges: Mapping[str, float] | None = None, strengths: int = 3, kind: Kind = Kind.CLASSIFICATION
) -> dict[str, float]:
    return measure(predict, circle(), (ROTATION,), ranges or {}, strengths, kind)  # type: ignore[arg-type]


def test_what_ignores_rotation_agrees_always() -> None:
    measured = found(radius)
    assert measured["rotation/agreement"] == 1.0
    assert abs(measured["rotation/kl"]) < 1e-12


def test_the_relative_measure_stands_beside_the_common_ones_where_there_are_classes() -> None:
    """Outputs along one of two axes, by the half-plane: turned by 90 degrees each way, every second changes it."""
    def axes(x: Tensor) -> Tensor:
        above = (x[:, 1] > 0).to(x.dtype)
        return torch.stack((above, 1 - above), dim=1)

    x = circle()
    labels = (x[:, 1] > 0).long()
    seen = measure(axes, x, (ROTATION,), {}, 1, Kind.CLASSIFICATION, labels)
    assert seen["rotation/agreement"] == pytest.approx(0.5)
    assert seen["rotation/relative"] in (pytest.approx(0.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))  # half of each
    still = measure(radius, x, (ROTATION,), {}, 3, Kind.CLASSIFICATION, labels)
    assert still["rotation/agreement"] == 1.0 and "rotation/relative" not in still, "no other class is elsewhere"
    turned = measure(axes, x, (Action("half", "deg", 180.0, True, lambda x, v: turn(x, 2 * v)),), {}, 1,
                     Kind.CLASSIFICATION, labels)
    assert turned["half/relative"] == pytest.approx(0.0, abs=1e-6), "as far as the other class"
    for none in (None, torch.zeros_like(labels)):
        assert "rotation/relative" not in measure(axes, x, (ROTATION,), {}, 3, Kind.CLASSIFICATION, none)


@pytest.mark.parametrize(
    ("reach", "strengths", "degrees"),
    [(None, 3, (30, 60, 90)), (None, 1, (90,)), (45.0, 3, (15, 30, 45)), (10.0, 2, (5, 10)), (500.0, 1, (90,))],
)
def test_what_reads_rotation_agrees_by_a_known_share(
    reach: float | None, strengths: int, degrees: tuple[int, ...]
) -> None:
    """A half-plane turned by d degrees keeps 1 - d / 180 of the circle, to either side."""
    ranges = {} if reach is None else {"rotation": reach}
    expected = sum(1 - d / 180 for d in degrees) / len(degrees)
    assert found(upper_half, ranges, strengths)["rotation/agreement"] == pytest.approx(expected, abs=1e-6)


def test_divergence_against_its_definition() -> None:
    """E KL(Bernoulli(p) || Bernoulli(q)), point by point with plain arithmetic; not symmetric in its arguments."""

    def sigmoid(t: float) -> float:
        return 1 / (1 + math.exp(-t))

    def kl(a: float, b: float) -> float:
        return a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))

    terms = []
    for degrees in (-20, -10, 10, 20):
        for k in range(COUNT):
            p, q = (sigmoid(3 * math.sin(math.radians(k + 0.5 + d))) for d in (0, degrees))
            terms.append(kl(p, q))
    measured = found(upper_half, {"rotation": 20.0}, strengths=2)["rotation/kl"]
    assert measured == pytest.approx(sum(terms) / len(terms), rel=1e-6)
    assert measured > 0.01


def test_agreement_is_blind_to_sharpness_and_divergence_is_not() -> None:
    soft, sharp = (found(lambda x, s=s: upper_half(x, s)) for s in (0.1, 10.0))
    assert soft["rotation/agreement"] == sharp["rotation/agreement"]
    assert soft["rotation/kl"] < 0.01 < 1 < sharp["rotation/kl"]


def test_change_of_a_regression_in_closed_form() -> None:
    """The identity's outputs move by |T x - x|^2 = 2 - 2 cos d, spread over two outputs."""
    measured = found(lambda x: x, strengths=2, kind=Kind.REGRESSION)
    expected = sum(1 - math.cos(math.radians(d)) for d in (45, 90)) / 2
    assert measured == {"rotation/change": pytest.approx(expected, rel=1e-9)}
    still = found(lambda x: x.norm(dim=1, keepdim=True), kind=Kind.REGRESSION)
    assert still["rotation/change"] < 1e-20


def test_an_episodic_problem_has_outputs_and_not_classes() -> None:
    assert set(found(lambda x: x, kind=Kind.EPISODIC)) == {"rotation/change"}


def test_signs_are_tried_where_an_action_has_them() -> None:
    tried: dict[str, list[float]] = {"signed": [], "unsigned": []}

    def spying(name: str) -> Action:
        def apply(x: Tensor, v: Tensor) -> Tensor:
            assert v.shape == (len(x),) and bool((v == v[0]).all())
            tried[name].append(float(v[0]))
            return x

        return Action(name, "", 2.0, name == "signed", apply)

    bank = (spying("signed"), spying("unsigned"))
    measure(radius, circle(), bank, {"signed": 1.0}, 2, Kind.CLASSIFICATION)
    assert tried == {"signed": [-0.5, -0.25, 0.25, 0.5], "unsigned": [0.5, 1.0]}


# Averaging


def test_an_average_is_a_distribution() -> None:
    outputs = averaged(upper_half, common_sampler((ROTATION, GROWTH), {}), circle(), 5, Generator().manual_seed(0))
    assert torch.allclose(outputs.exp().sum(-1), torch.ones(COUNT, dtype=torch.float64))


def test_one_copy_of_the_input_itself_is_the_prediction() -> None:
    x, generator = circle(), Generator().manual_seed(0)
    one = averaged(upper_half, lambda x, _: x, x, 1, generator)
    assert torch.equal(one, log_softmax(upper_half(x), -1))
    turned = averaged(upper_half, common_sampler((ROTATION,), {}), x, 1, generator)
    assert not torch.allclose(turned, one)


def test_probabilities_are_averaged_and_not_logits() -> None:
    x, turns = circle(), [10.0, -50.0, 90.0]

    def sampler() -> object:
        waiting = iter(turns)
        return lambda x, _: turn(x, torch.full((len(x),), next(waiting) / 90))

    outputs = averaged(upper_half, sampler(), x, 3, Generator())  # type: ignore[arg-type]
    each = torch.stack([upper_half(turn(x, torch.full((COUNT,), d / 90))) for d in turns])
    assert torch.allclose(outputs.exp(), each.softmax(-1).mean(0))
    assert not torch.allclose(outputs.exp(), each.mean(0).softmax(-1), atol=1e-3)


# Copies that every method gets alike


def test_common_copies_depend_on_the_generator_only() -> None:
    x = circle()

    def copies(seed: int) -> Tensor:
        sample, generator = common_sampler((ROTATION, GROWTH), {}), Generator().manual_seed(seed)
        return torch.stack([sample(x, generator) for _ in range(4)])

    assert torch.equal(copies(1), copies(1))
    assert not torch.equal(copies(1), copies(2))


def test_common_copies_mix_the_actions_and_stay_in_range() -> None:
    """Each input is either turned by at most 30 degrees, to both sides, or grown by a factor in [1, 2]; never both."""
    x, generator = circle(), Generator().manual_seed(0)
    moved = common_sampler((ROTATION, GROWTH), {"rotation": 30.0})(x, generator)
    factor = moved.norm(dim=1)
    degrees = torch.rad2deg(torch.atan2(x[:, 0] * moved[:, 1] - x[:, 1] * moved[:, 0], (x * moved).sum(1)))
    grown, turned = factor > 1 + 1e-6, degrees.abs() > 1e-6
    assert not bool((grown & turned).any())
    # Counts are binomial(360, 1/2): 120 to 240 is more than 6 standard deviations to either side.
    assert 120 < int(grown.sum()) < 240 and int(grown.sum() + turned.sum()) == COUNT
    assert 25 < float(degrees.max()) <= 30.001 and -30.001 <= float(degrees.min()) < -25
    assert float(factor.min()) >= 1 - 1e-6 and 1.9 < float(factor.max()) <= 2


def test_without_a_bank_copies_are_the_input() -> None:
    x = circle()
    assert torch.equal(common_sampler((), {})(x, Generator()), x)
    assert measure(radius, x, (), {}, 3, Kind.CLASSIFICATION) == {}

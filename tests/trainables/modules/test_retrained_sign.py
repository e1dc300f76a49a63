"""Hypergradients against what they stand for: the validation loss of networks that are trained anew for each phi.

One step at the end of a training is no estimate of that derivative's size, but it should have its sign: where a search
stands, which way is down. Three values of one phi, on either side of the best one.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from spaces.transforms import Operation, apply
from tests.trainables.modules.test_hypergradient import DECAY, Estimating, Quadratic
from trainables.modules.hypergradient import Derivative, Estimate, Loss, OneStep, Step, Weights
from trainables.modules.implicit_gradient import Implicit
from trainables.modules.learned_policy import Draw, LearnedPolicy
from trainables.problems.digits import Config as Digits

WIDE, RATE = torch.float64, 0.1
ESTIMATES: dict[str, Estimating] = {
    "one step": OneStep().estimate, "its difference": OneStep(Derivative.DIFFERENCE).estimate,
    "implicit": Implicit(products=5, alpha=0.1).estimate,
}


def trained(inner: Loss, start: Weights, updates: int, rate: float) -> Weights:
    """By gradient descent with weight decay, from the same weights every time."""
    theta = start
    for _ in range(updates):
        theta = tuple(weight.detach().requires_grad_() for weight in theta)
        pairs = zip(theta, torch.autograd.grad(inner(theta), theta), strict=True)
        theta = tuple(weight.detach() - rate * (g + DECAY * weight.detach()) for weight, g in pairs)
    return theta


def flipped(*args: object) -> Estimate:
    """The published defect: no minus sign."""
    found = OneStep().estimate(*args)  # type: ignore[arg-type]
    return found._replace(hyper=tuple(-part for part in found.hyper))


class Line:
    """A quadratic problem whose phi is one number t along its first direction."""

    def __init__(self, seed: int) -> None:
        self.problem = Quadratic(seed)
        self.start = (torch.zeros(4, dtype=WIDE),)
        hessian = self.problem.a + DECAY * torch.eye(4, dtype=WIDE)
        self.reach = torch.linalg.solve(hessian, self.problem.a @ self.problem.b[:, 0])  # theta* = t reach
        self.best = float(self.reach @ self.problem.c / self.reach.square().sum())

    def inner(self, weights: Weights, t: Tensor) -> Tensor:
        return self.problem.inner(weights, torch.cat((t.view(1), t.new_zeros(2))))

    def end(self, t: float) -> Weights:
        at = torch.tensor(t, dtype=WIDE)
        return trained(lambda weights: self.inner(weights, at), self.start, 400, 0.05)

    def slope(self, t: float) -> float:
        return float(self.problem.outer(self.end(t + 0.01)) - self.problem.outer(self.end(t - 0.01))) / 0.02

    def estimated(self, estimate: Estimating, t: float) -> float:
        at = torch.tensor(t, dtype=WIDE, requires_grad=True)
        step = Step(RATE, DECAY)
        return float(estimate(lambda w: self.inner(w, at), self.problem.outer, self.end(t), (at,), step).hyper[0])


def agree(estimate: Estimating, line: Line) -> list[bool]:
    """At three values of phi around the best."""
    at = [line.best + away for away in (-2.0, 2.0, 4.0)]
    return [line.estimated(estimate, t) * line.slope(t) > 0 for t in at]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ESTIMATES)
def test_signs_agree_with_retraining_on_a_quadratic_problem(name: str, seed: int) -> None:
    """Training itself is checked by the closed form, |reach|^2 (t - t*)."""
    line = Line(seed)
    exact = float(line.reach.square().sum()) * 2.0
    assert line.slope(line.best + 2.0) == pytest.approx(exact, rel=1e-6)
    assert line.slope(line.best - 2.0) == pytest.approx(-exact, rel=1e-6)
    assert all(agree(ESTIMATES[name], line))
    assert not any(agree(flipped, line)), "the check rejects the other sign"


class Turned:
    """200 digits, twice, upright and trained on through turns of up to phi; 200 others turned by up to 45 degrees.

    The two layers are smooth, and the shares of the range are drawn once: the retrained loss is a function of phi.
    """

    def __init__(self) -> None:
        data, generator = Digits().load(0), torch.Generator().manual_seed(0)
        x, y = torch.from_numpy(data.test_x[:400]).to(WIDE) / 255, torch.from_numpy(data.test_y[:400]).long()
        angles = torch.rand(200, generator=generator, dtype=WIDE) * 2 - 1
        self.x_outer, self.y_outer = apply(Operation.ROTATION, x[200:], angles, limit=45.0), y[200:]
        self.x, self.y = x[:200].repeat(2, 1, 1, 1), y[:200].repeat(2)
        share = torch.rand(400, generator=generator, dtype=WIDE) * 2 - 1
        self.draw = Draw(torch.ones(400, dtype=torch.long), share)
        self.policy = LearnedPolicy((Operation.ROTATION,)).double()
        sizes = ((256, 16), (16, 10))
        self.start = tuple(torch.randn(*size, generator=generator, dtype=WIDE) / size[0] ** 0.5 for size in sizes)

    def logits(self, weights: Weights, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ weights[0]) @ weights[1]

    def outer(self, weights: Weights) -> Tensor:
        return cross_entropy(self.logits(weights, self.x_outer), self.y_outer)

    def put(self, logit: float) -> None:
        with torch.no_grad():
            self.policy.range_logits.fill_(logit)

    def end(self, logit: float) -> Weights:
        self.put(logit)
        x = self.policy.augment(self.x, self.draw).detach()
        return trained(lambda weights: cross_entropy(self.logits(weights, x), self.y), self.start, 300, 0.3)

    def slope(self, logit: float) -> float:
        return float(self.outer(self.end(logit + 0.05)) - self.outer(self.end(logit - 0.05))) / 0.1

    def estimated(self, estimate: Estimating, logit: float) -> float:
        theta = self.end(logit)

        def inner(weights: Weights) -> Tensor:
            return cross_entropy(self.logits(weights, self.policy.augment(self.x, self.draw)), self.y)

        return float(estimate(inner, self.outer, theta, (self.policy.range_logits,), Step(RATE, DECAY)).hyper[0])


@pytest.fixture(scope="module")
def turned() -> Turned:
    return Turned()


def logit_of(degrees: float) -> float:
    """Of 180 degrees, the search's limit."""
    return math.log(degrees / (180 - degrees))


@pytest.mark.parametrize(("degrees", "sign"), [(10.0, -1), (30.0, -1), (150.0, 1)])
def test_signs_agree_with_retraining_for_the_range_of_a_rotation(turned: Turned, degrees: float, sign: int) -> None:
    """Below the true range wider turns are better, far above it narrower ones."""
    logit = logit_of(degrees)
    assert sign * turned.slope(logit) > 0.05, "in nats per logit"
    found = [turned.estimated(estimate, logit) for estimate in ESTIMATES.values()]
    assert all(sign * one > 1e-4 for one in found)
    assert not sign * turned.estimated(flipped, logit) > 0, "the check rejects the other sign"


@pytest.mark.parametrize("name", [
    pytest.param("one step", marks=pytest.mark.xfail(
        strict=True, raises=AssertionError, reason="at a trained network one step still points to wider turns there",
    )),
    "implicit",
])
def test_signs_agree_a_little_above_the_true_range(turned: Turned, name: str) -> None:
    """At 90 degrees retrained networks lose by wider turns already; the inverse Hessian tells, one step does not."""
    if not turned.slope(logit_of(90.0)) > 0.05:
        pytest.fail("networks do not lose by wider turns here: nothing is tested")  # no AssertionError
    assert turned.estimated(ESTIMATES[name], logit_of(90.0)) > 1e-4

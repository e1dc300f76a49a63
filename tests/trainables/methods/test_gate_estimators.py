"""The gate of an operation, drawn ten thousand times in one batch, against its enumeration.

One flip with probability p = pi_1 beside the identity, images b drawn with it (k = 1) or without. For whatever
direction x of the weights an estimator uses, with s_b(k) = <grad l(op_k image_b), x>,

    d/dw_1 <grad L_tr, x> = p (1 - p) mean_b (s_b(1) - s_b(0)) =: p (1 - p) D,  and minus that for w_0

    unrolled: hyper = - eta d/dw <grad L_tr, v>,  v = grad L_va(theta - eta (grad L_tr + wd theta))
    implicit: hyper = - d/dw <grad L_tr, x>,      x = alpha sum_{j=0..K} (I - alpha (H + wd I))^j grad L_va(theta)

A draw estimates it by mean_b (s_b(k_b) - mean s)(k_b - p): its variance is written down too. The network is a softmax
regression, so that per-image gradients and H are formulas; eta is small, and alpha times the noise of H is.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from spaces.transforms import Operation
from tests.trainables.methods.recorded import recorded, softmax_regression, upside_down
from trainables.methods.unrolled import Config
from trainables.modules.hypergradient import Estimator, OneStep
from trainables.modules.implicit_gradient import Implicit
from trainables.modules.learned_policy import Mixing
from trainables.modules.policy_search import PolicySearch
from trainables.problems.problem import Batch, Split

DRAWS, RATE, DECAY = 10_000, 1e-3, 0.05
ALPHA, PRODUCTS = 0.3, 5
UNROLLED, IMPLICIT = OneStep(), Implicit(products=PRODUCTS, alpha=ALPHA)
ERRORS = 5.5  # standard errors; exceeded once in 26 million normal draws, so in 12 checks once in 2 million runs
CONFIG = Config(
    batch_size=DRAWS, operations=(Operation.FLIP_VERTICAL,), mixing=Mixing.SAMPLED, learning_rate=RATE,
    weight_decay=DECAY, warm_up=0.0, outer_warm_up=0.0,
)


@dataclass(frozen=True)
class Gate:
    """What was found for both logits, and what the draw should give.

    Args:
        found: (2,), of the identity and of the flip.
        exact: enumerated, of the flip.
        error: its standard error over draws of the choice.
    """

    found: Tensor
    exact: float
    error: float

    def off(self, scale: float = 1.0) -> float:
        """Standard errors between the flip's and the enumerated one; `scale` breaks the estimate."""
        return abs(scale * float(self.found[1]) - self.exact) / self.error


def gate(estimator: Estimator, p: float, helpful: bool, seed: int = 0) -> Gate:
    """The first update of a search; a helpful flip is one that held-out images have undergone."""
    changes = {Split.OUTER: upside_down} if helpful else {}
    context, view = recorded(1, changes, softmax_regression, seed)
    search = PolicySearch(context, CONFIG, CONFIG.operations, 1, estimator)
    with torch.no_grad():
        search.learned.choice_logits.copy_(torch.tensor([1 - p, p]).log())
    theta = flat(*search.trunk.network.parameters())
    update = search.update()
    assert update.outer is not None
    batch, held_out = view.last(Split.TRAIN), view.last(Split.OUTER)
    sides = batch, Batch(upside_down(batch.x), batch.y)
    direction, scale = (unrolled if estimator is UNROLLED else implicit)(theta, p, *sides, held_out)
    s = torch.stack([gradients(theta, side) @ direction for side in sides])  # (2, B)
    pi = torch.tensor([1 - p, p], dtype=torch.float64)
    difference, centre = (s[1] - s[0]).mean(), (pi @ s).mean()
    terms = (s - centre) * (torch.tensor([[0.0], [1.0]]) - p)
    variance = (pi @ terms.square() - (pi @ terms).square()).mean() / DRAWS
    exact = -scale * p * (1 - p) * (1 - 1 / DRAWS) * difference
    return Gate(update.outer.hyper[0].double(), float(exact), float(scale * variance.sqrt()))


def unrolled(theta: Tensor, p: float, plain: Batch, flipped: Batch, held_out: Batch) -> tuple[Tensor, float]:
    """v and eta."""
    g = (1 - p) * gradients(theta, plain).mean(0) + p * gradients(theta, flipped).mean(0)
    return gradients(theta - RATE * (g + DECAY * theta), held_out).mean(0), RATE


def implicit(theta: Tensor, p: float, plain: Batch, flipped: Batch, held_out: Batch) -> tuple[Tensor, float]:
    """The series with the matrix itself."""
    h = (1 - p) * hessian(theta, plain) + p * hessian(theta, flipped)
    shrink = torch.eye(len(theta), dtype=torch.float64) * (1 - ALPHA * DECAY) - ALPHA * h
    term = total = gradients(theta, held_out).mean(0)
    for _ in range(PRODUCTS):
        term = shrink @ term
        total = total + term
    return ALPHA * total, 1.0


def flat(weight: Tensor, bias: Tensor) -> Tensor:
    """(C, D) and (C,) -> (C (D + 1),), class by class."""
    return torch.cat((weight, bias[:, None]), dim=1).detach().double().flatten()


def probabilities(theta: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """q (B, C), and the images with a one at the end, (B, D + 1)."""
    x = torch.cat((batch.x.double().flatten(1), torch.ones(len(batch.x), 1, dtype=torch.float64)), dim=1)
    return (x @ theta.view(-1, x.shape[1]).T).softmax(1), x


def gradients(theta: Tensor, batch: Batch) -> Tensor:
    """(B, C (D + 1)): (q - e_y) x^T for every image."""
    q, x = probabilities(theta, batch)
    return ((q - one_hot(batch.y, q.shape[1]))[:, :, None] * x[:, None, :]).flatten(1)


def hessian(theta: Tensor, batch: Batch) -> Tensor:
    """mean_b (diag q - q q^T) (x) x x^T."""
    q, x = probabilities(theta, batch)
    classes, width = q.shape[1], x.shape[1]
    h = torch.zeros(classes, width, classes, width, dtype=torch.float64)
    for i in range(classes):
        for j in range(classes):
            weight = q[:, i] * (float(i == j) - q[:, j])
            h[i, :, j] = (weight[:, None] * x).T @ x / len(x)
    return h.view(classes * width, -1)


ESTIMATORS = pytest.mark.parametrize("estimator", [UNROLLED, IMPLICIT], ids=["unrolled", "implicit"])


@ESTIMATORS
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("helpful", [True, False], ids=["helpful", "harmful"])
def test_the_drawn_gate_agrees_with_enumeration_and_points_the_right_way(
    estimator: Estimator, p: float, helpful: bool
) -> None:
    """A helpful flip is raised: the hypergradient, which is descended, is negative. A harmful one is lowered."""
    found = gate(estimator, p, helpful)
    assert (found.exact < 0) is helpful
    assert abs(found.exact) > 2 * ERRORS * found.error, "so many draws tell the sign"
    assert found.off() < ERRORS
    assert (float(found.found[1]) < 0) is helpful
    torch.testing.assert_close(found.found[0], -found.found[1], rtol=1e-3, atol=0.0)


@ESTIMATORS
@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 2.0])
def test_the_check_rejects_a_gate_that_is_flipped_closed_or_scaled(estimator: Estimator, scale: float) -> None:
    """Scales by p or by 1 / p among them, at p = 1/2."""
    assert gate(estimator, 0.5, helpful=True).off(scale) > ERRORS

"""Fused warps against single operations, matrices against their products, and what a rotation is."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor

from spaces.transforms import GEOMETRIC, AffineParameters, Operation, affine_matrix, apply, warp
from tests.trainables.modules.augmentation.layers import inputs, noise
from tracking.errors import UserError
from trainables.modules.augmentation import LearnedAffine, LieAffine
from trainables.modules.augmentation.affine import CAPS, GENERATORS

CENTRE = (slice(None), slice(None), slice(8, 25), slice(8, 25))


def smooth(size: int = 2, side: int = 33) -> Tensor:
    """Slow waves under a window, so that interpolation and borders hardly matter."""
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    window = torch.exp(-6 * (x.square() + y.square()))
    waves = torch.stack([torch.sin(2 * x + k) + torch.cos(3 * y - k) for k in range(size)])
    return (0.5 + 0.2 * waves * window).unsqueeze(1)


@pytest.mark.parametrize("operation", GEOMETRIC)
def test_one_operation_is_the_one_of_the_table(operation: Operation) -> None:
    layer, x = LearnedAffine([operation], start=0.4).double(), inputs("affine")
    eps = noise(layer, len(x))
    expected = apply(operation, x, 0.4 * (2 * eps[:, 0] - 1), CAPS[operation])
    torch.testing.assert_close(layer(x, eps), expected, rtol=1e-5, atol=1e-6)


def test_the_fused_matrix_is_the_product_of_single_ones() -> None:
    """Exactly; the sampling matrix of a composition is the product of inverses in reverse order."""
    layer = LearnedAffine(start=0.4).double()
    eps = noise(layer, 5)
    order = (Operation.SHEAR_X, Operation.SHEAR_Y, Operation.SCALE, Operation.ROTATION, None)
    product = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    operations = layer.operations
    for one in order:
        chosen = (Operation.TRANSLATE_X, Operation.TRANSLATE_Y) if one is None else (one,)
        active = torch.tensor([[float(operation in chosen) for operation in operations]], dtype=torch.float64)
        single = _square(layer.matrix(eps, active.expand(5, -1), 9, 12))
        product = product @ single
    torch.testing.assert_close(_square(layer.matrix(eps, None, 9, 12)), product, rtol=1e-9, atol=1e-12)


def _square(matrix: Tensor) -> Tensor:
    bottom = torch.tensor([0.0, 0.0, 1.0], dtype=matrix.dtype).expand(len(matrix), 1, 3)
    return torch.cat((matrix, bottom), 1)


def test_one_warp_is_a_chain_of_warps_on_smooth_images() -> None:
    layer, x = LearnedAffine((Operation.ROTATION, Operation.SHEAR_X), start=(0.15, 0.5)).double(), smooth()
    eps = torch.ones(2, 2, dtype=torch.float64)  # 27 degrees and a tangent of 0.3
    rotation, shear = ((2 * eps - 1) * layer.ranges.widths).unbind(-1)
    chain = apply(Operation.ROTATION, apply(Operation.SHEAR_X, x, shear, 1.0), rotation, 1.0)
    assert float((layer(x, eps) - chain)[CENTRE].detach().abs().max()) < 0.01
    other = apply(Operation.SHEAR_X, apply(Operation.ROTATION, x, rotation, 1.0), shear, 1.0)
    assert float((layer(x, eps) - other)[CENTRE].detach().abs().max()) > 0.02, "negative control: the other order"


def test_there_and_back_and_a_quarter_turn() -> None:
    x = smooth()
    turn = torch.full((2,), 37.0, dtype=torch.float64)
    back = apply(Operation.ROTATION, apply(Operation.ROTATION, x, turn, 1.0), -turn, 1.0)
    torch.testing.assert_close(back[CENTRE], x[CENTRE], rtol=0, atol=0.01)
    quarter = warp(x, affine_matrix(AffineParameters(rotation_deg=torch.full((2,), 90.0, dtype=torch.float64)), 33, 33))
    torch.testing.assert_close(quarter, x.rot90(-1, (-2, -1)), rtol=0, atol=1e-6)


def test_strengths_are_uniform_in_the_learned_range() -> None:
    """Kolmogorov-Smirnov on 4,000 angles read off the matrix, at 0.1 % false alarms; a wider range is rejected."""
    layer = LearnedAffine([Operation.ROTATION], start=0.25).double()
    matrix = layer.matrix(noise(layer, 4000), None, 8, 8).detach()
    degrees = torch.rad2deg(torch.atan2(matrix[:, 0, 1], matrix[:, 0, 0]))
    assert float(degrees.abs().max()) <= 45.001
    assert kstest(degrees.numpy(), "uniform", (-45.0, 90.0)).pvalue > 1e-3
    assert kstest(degrees.numpy(), "uniform", (-50.0, 100.0)).pvalue < 1e-3


@pytest.mark.parametrize("k", range(6))
def test_each_generator_of_the_algebra(k: int) -> None:
    """exp(v G_k) against its closed form, at one share of the range for all inputs."""
    layer = LieAffine(start=0.3).double()
    v = 0.3 * [0.9, 0.9, math.pi, 0.7, 0.7, 0.7][k]
    cos, sin, cosh, sinh = math.cos(v), math.sin(v), math.cosh(v), math.sinh(v)
    closed = {
        "translate_x": [[1, 0, v], [0, 1, 0]], "translate_y": [[1, 0, 0], [0, 1, v]],
        "rotation": [[cos, -sin, 0], [sin, cos, 0]], "scale": [[math.exp(v), 0, 0], [0, math.exp(v), 0]],
        "stretch": [[math.exp(v), 0, 0], [0, math.exp(-v), 0]], "shear": [[cosh, sinh, 0], [sinh, cosh, 0]],
    }[GENERATORS[k]]
    x = smooth()
    eps = torch.ones(2, 6, dtype=torch.float64)  # the upper end of every range
    alone = torch.eye(6, dtype=torch.float64)[k].expand(2, -1)
    expected = warp(x, torch.tensor(closed, dtype=torch.float64).expand(2, -1, -1))
    torch.testing.assert_close(layer.augment(x, eps, alone), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearnedAffine([Operation.HUE]), "each of its operations once"),
        (lambda: LearnedAffine([Operation.ROTATION, Operation.ROTATION]), "each of its operations once"),
        (lambda: LearnedAffine([]), "each of its operations once"),
        (lambda: LearnedAffine([Operation.SCALE], {Operation.ROTATION: 9.0}), "a cap must name an operation"),
        (lambda: LearnedAffine(start=1.0), "between 0 and its cap"),
        (lambda: LearnedAffine(start=0.0), "between 0 and its cap"),
        (lambda: LearnedAffine(caps={Operation.ROTATION: -3.0}), "positive and finite"),
        (lambda: LearnedAffine().ranges.set_widths([200.0, 0.1, 0.1, 0.1, 0.1, 0.1]), "between 0 and its cap"),
        (lambda: LieAffine(caps=[1.0, 1.0]), "six generators"),
        (lambda: LearnedAffine()(torch.rand(2, 1, 50), torch.rand(2, 6)), "batches of images"),
    ],
)
def test_what_does_not_fit_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=message):
        make()


def test_noise_is_drawn_from_the_generator_alone() -> None:
    layer = LearnedAffine()
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    layer.sample(4, Generator().manual_seed(0))
    assert torch.equal(before, torch.random.get_rng_state())

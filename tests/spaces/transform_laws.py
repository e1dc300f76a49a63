"""Laws that every transformation obeys, as checks that raise AssertionError; and the image they are tried on.

A `Map` is T: (x (B, C, H, W), v (B,)) -> (B, C, H, W). All checks run in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.testing import assert_close

Map = Callable[[Tensor, Tensor], Tensor]
MAGNITUDES = (0.25, 0.5, 0.75, 1.0)


def smooth_image(
    batch: int = 3, channels: int = 3, height: int = 18, width: int = 22, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Smooth, without any symmetry, different in every channel and image, with values in [0.1, 0.9]."""
    y = torch.linspace(0, 1, height, dtype=torch.float64)[:, None]
    x = torch.linspace(0, 1, width, dtype=torch.float64)
    b = torch.arange(batch, dtype=torch.float64)[:, None, None, None]
    c = torch.arange(channels, dtype=torch.float64)[:, None, None]
    wave = torch.sin(2.1 * x + 1.3 * y * x + 0.9 * c + 0.7 * b)
    wave = wave + 0.8 * torch.cos(3.1 * y - 1.7 * c * x + 0.3 * b)
    low, high = wave.amin((-2, -1), keepdim=True), wave.amax((-2, -1), keepdim=True)
    return (0.1 + 0.03 * c + (0.74 - 0.02 * b) * (wave - low) / (high - low)).to(dtype)


def noise_image(seed: int, batch: int = 3, channels: int = 3, side: int = 12) -> Tensor:
    """Uniform noise with black, white and grey pixels among it, all of [0, 1]."""
    x = torch.rand(batch, channels, side, side, generator=Generator().manual_seed(seed), dtype=torch.float64)
    x[..., 0, :4], x[..., 1, :4], x[..., 2, :4] = 0.0, 1.0, 0.5
    return x


def strengths(value: float, batch: int) -> Tensor:
    """The same v for each image."""
    return torch.full((batch,), value, dtype=torch.float64)


def check_identity(map_: Map, x: Tensor, tolerance: float = 0.0) -> None:
    """T_0 = id."""
    assert_close(map_(x, strengths(0.0, len(x))), x, rtol=0, atol=tolerance)


def check_grows(map_: Map, x: Tensor, signs: tuple[int, ...]) -> None:
    """|T_{sm}(x) - x| is strictly larger for each larger m, for both signs and every image."""
    for sign in signs:
        images = [map_(x, strengths(sign * m, len(x))) for m in MAGNITUDES]
        moved = torch.stack([(image - x).flatten(1).norm(dim=1) for image in images])
        steps = torch.diff(moved, dim=0, prepend=torch.zeros_like(moved[:1]))
        assert (steps > 1e-6).all(), f"distances {moved.tolist()} at magnitudes {MAGNITUDES}, sign {sign}"


def check_conjugate(map_: Map, x: Tensor, mirror: Callable[[Tensor], Tensor]) -> None:
    """T_{-v} = M T_v M for a mirror image M, M M = id, and T_{-v} differs from T_v."""
    v = strengths(0.37, len(x))
    assert_close(map_(x, -v), mirror(map_(mirror(x), v)), rtol=0, atol=1e-9)
    assert (map_(x, -v) - map_(x, v)).abs().max() > 1e-3, "both signs give the same image"


def check_opposite(map_: Map, x: Tensor) -> None:
    """T_v(x) + T_{-v}(x) = 2 x where nothing is clamped, and T_v(x) is not x."""
    v = strengths(0.05, len(x))
    assert_close(map_(x, v) + map_(x, -v), 2 * x, rtol=0, atol=1e-9)
    assert (map_(x, v) - x).abs().max() > 1e-5, "nothing happens"


def check_inverse(map_: Map, x: Tensor) -> None:
    """T_{-v} T_v = id up to interpolation, in the middle of the image, and T_v is not the identity there."""
    v = strengths(0.3, len(x))
    middle = (..., slice(6, -6), slice(6, -6))
    assert_close(map_(map_(x, v), -v)[middle], x[middle], rtol=0, atol=0.02)
    assert (map_(x, v) - x)[middle].abs().max() > 0.03, "nothing happens"


def check_gradient_of_strength(map_: Map, x: Tensor, values: tuple[float, ...]) -> None:
    """d <w, T_v(x)> / dv equals the central difference, for each image of its own."""
    weight, h = _weight(x), 1e-6
    for value in values:
        v = strengths(value, len(x)) + torch.linspace(0, 0.01, len(x), dtype=torch.float64)
        difference = (weight * (map_(x, v + h) - map_(x, v - h))).sum((1, 2, 3)) / (2 * h)
        assert_close(_slope(map_, x, v), difference, rtol=1e-5, atol=1e-5)


def check_mean_gradient_of_strength(map_: Map, x: Tensor, values: tuple[float, ...]) -> None:
    """A straight-through d T_v / dv is T_1 - T_0, the mean of the true one over v in [0, 1], at each v."""
    weight = _weight(x)
    rise = (weight * (map_(x, strengths(1.0, len(x))) - x)).sum((1, 2, 3))
    for value in values:
        assert_close(_slope(map_, x, strengths(value, len(x))), rise, rtol=1e-9, atol=1e-9)


def check_gradient_of_image(map_: Map, x: Tensor, value: float) -> None:
    """The derivative of <w, T_v(x)> in a random direction equals the central difference."""
    weight, h, v = _weight(x), 1e-7, strengths(value, len(x))
    direction = torch.randn(x.shape, generator=Generator().manual_seed(5), dtype=x.dtype)
    difference = (weight * (map_(x + h * direction, v) - map_(x - h * direction, v))).sum() / (2 * h)
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((weight * map_(x, v)).sum(), x)
    assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-6)


def check_unit_gradient_of_image(map_: Map, x: Tensor, value: float) -> None:
    """A straight-through d T_v / dx is the identity."""
    weight = _weight(x)
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((weight * map_(x, strengths(value, len(x)))).sum(), x)
    assert_close(gradient, weight, rtol=0, atol=1e-12)


def check_alive_at_zero(map_: Map, x: Tensor) -> None:
    """d <w, T_v(x)> / dv is not 0 at v = 0: a learner that starts there can leave."""
    slope = _slope(map_, x, strengths(0.0, len(x)))
    assert (slope.abs() > 1e-3).all(), f"slopes at 0: {slope.tolist()}"


def check_batched(map_: Map, x: Tensor, signed: bool) -> None:
    """A batch with different strengths equals its images one by one."""
    v = torch.linspace(-0.9 if signed else 0.1, 0.8, len(x), dtype=torch.float64)
    single = torch.cat([map_(x[b : b + 1], v[b : b + 1]) for b in range(len(x))])
    assert_close(map_(x, v), single, rtol=0, atol=1e-9)


def check_range(map_: Map, x: Tensor, signs: tuple[int, ...]) -> None:
    """Results are finite and in [0, 1] for images in [0, 1]; so are gradients finite."""
    for value in [sign * m for sign in signs for m in (0.0, *MAGNITUDES)]:
        leaves = [x.clone().requires_grad_(), strengths(value, len(x)).requires_grad_()]
        y = map_(*leaves)
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert 0 <= y.detach().min() <= y.detach().max() <= 1
        assert all(g.isfinite().all() for g in torch.autograd.grad(y.square().sum(), leaves))


def _weight(x: Tensor) -> Tensor:
    """Fixed weights for a scalar loss; of mixed sign and without symmetry."""
    ramp = torch.arange(x[0].numel(), dtype=x.dtype).view(x.shape[1:])
    return torch.sin(ramp * math.sqrt(2) + 0.3).expand_as(x)


def _slope(map_: Map, x: Tensor, v: Tensor) -> Tensor:
    v = v.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((_weight(x) * map_(x, v)).sum(), v)
    return gradient

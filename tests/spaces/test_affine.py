"""The warp: known answers, composition, torchvision's affine as reference, precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from spaces.transforms import AffineParameters, Padding, affine_matrix, warp
from tests.spaces.transform_laws import noise_image, smooth_image


def full(value: float) -> Tensor:
    return torch.full((1,), value, dtype=torch.float64)


def warped(x: Tensor, padding: Padding = Padding.ZEROS, **parameters: Tensor) -> Tensor:
    return warp(x, affine_matrix(AffineParameters(**parameters), x.shape[-2], x.shape[-1]), padding)


def test_all_six_together_equal_torchvision_on_an_image_that_is_not_square() -> None:
    x = smooth_image(1, height=20, width=31)
    ours = warped(
        x, rotation_deg=full(23.0), translate_x=full(3 / 31), translate_y=full(-2 / 20),
        log_scale=full(math.log(1.2)), shear_x=full(0.25), shear_y=full(-0.15),
    )  # fmt: skip
    theirs = reference.affine(
        x, angle=23.0, translate=[3, -2], scale=1.2, interpolation=InterpolationMode.BILINEAR,
        shear=[math.degrees(math.atan(0.25)), math.degrees(math.atan(-0.15))],
    )  # fmt: skip
    # torchvision makes its grid from a float32 linspace whatever the image is.
    assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_permute_pixels(turns: int) -> None:
    x = noise_image(0, 1)
    clockwise = torch.rot90(x, -turns, (-2, -1))
    assert_close(warped(x, rotation_deg=full(90.0 * turns)), clockwise, rtol=0, atol=1e-12)


def test_translation_by_whole_pixels_moves_right_and_down() -> None:
    x = noise_image(1, 1)
    right = warped(x, translate_x=full(3 / 12))
    assert_close(right[..., 3:], x[..., :-3], rtol=0, atol=1e-12)
    assert right[..., :3].abs().max() < 1e-12
    assert_close(warped(x, translate_y=full(3 / 12))[..., 3:, :], x[..., :-3, :], rtol=0, atol=1e-12)


def test_doubling_shows_the_middle_half() -> None:
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    step = 1 / 15
    zoomed = warped(ramp, log_scale=full(math.log(2.0)))
    assert_close(zoomed[0, 0, 0].diff(), torch.full((15,), step / 2, dtype=torch.float64))
    assert_close(zoomed.mean(), ramp.mean())


def test_rotation_is_a_rotation_also_on_images_that_are_not_square() -> None:
    # A disc about the centre stays where it is.
    y = torch.arange(24, dtype=torch.float64)[:, None] - 11.5
    x = torch.arange(40, dtype=torch.float64) - 19.5
    disc = torch.exp(-(x.square() + y.square()) / 18).expand(1, 1, 24, 40)
    assert_close(warped(disc, rotation_deg=full(37.0)), disc, rtol=0, atol=0.03)
    # The check can tell: without the correction of the aspect it does not.
    matrix = affine_matrix(AffineParameters(rotation_deg=full(37.0)), 24, 24)
    assert (warp(disc, matrix) - disc).abs().max() > 0.1


def test_matrices_compose() -> None:
    """Six maps in turn are one matrix: sampling matrices multiply in the reverse order of content."""

    def square(matrix: Tensor) -> Tensor:
        return torch.cat((matrix, torch.tensor([[[0.0, 0.0, 1.0]]], dtype=torch.float64)), dim=1)

    def one(**parameters: Tensor) -> Tensor:
        return square(affine_matrix(AffineParameters(**parameters), 20, 30))

    values = {
        "shear_x": full(0.2), "shear_y": full(0.1), "log_scale": full(0.3), "rotation_deg": full(20.0),
        "translate_x": full(0.1), "translate_y": full(-0.2),
    }  # fmt: skip
    product = torch.eye(3, dtype=torch.float64)[None]
    for name in ("shear_x", "shear_y", "log_scale", "rotation_deg"):
        product = product @ one(**{name: values[name]})
    product = product @ one(translate_x=values["translate_x"], translate_y=values["translate_y"])
    assert_close(one(**values), product, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", [8, 29, 224])
@pytest.mark.parametrize("padding", list(Padding))
def test_zero_parameters_are_exact_and_keep_their_gradient(side: int, padding: Padding) -> None:
    x = torch.rand(2, 3, side, side + 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    zeros = [torch.zeros(2, requires_grad=True) for _ in range(6)]
    y = warp(x, affine_matrix(AffineParameters(*zeros), side, side + 3), padding)
    assert torch.equal(y, x)
    gradients = torch.autograd.grad(y.square().sum(), [*zeros, x])
    assert all((g != 0).all() for g in gradients[:6])
    assert_close(gradients[6], 2 * x, rtol=1e-3, atol=1e-3)


def test_padding() -> None:
    x = noise_image(3, 1) * 0.5 + 0.5
    outside = (..., slice(0, 2))
    moved = {p: warped(x, p, translate_x=full(4 / 12)) for p in Padding}
    assert (moved[Padding.ZEROS][outside] == 0).all()
    assert_close(moved[Padding.BORDER][outside], x[..., :1].expand(1, 3, 12, 2), rtol=0, atol=1e-12)
    assert_close(moved[Padding.REFLECTION][outside], x[..., 2:4].flip(-1), rtol=0, atol=1e-12)


def test_coordinates_stay_in_float32_under_autocast() -> None:
    x = smooth_image(2, height=64, width=64, dtype=torch.float32)
    angle = torch.tensor([10.0, 20.0])
    plain = warped(x, rotation_deg=angle)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warped(x, rotation_deg=angle), plain)
    coarse = warped(x.bfloat16(), rotation_deg=angle)
    assert coarse.dtype is torch.bfloat16
    assert (coarse.float() - plain).abs().max() < 0.01  # rounding of values, not of places


def test_vmap_over_matrices_equals_loop() -> None:
    x = smooth_image(2)
    angle = torch.tensor([[5.0, 10.0], [-20.0, 0.0]], dtype=torch.float64)

    def turn(a: Tensor) -> Tensor:
        return warped(x, rotation_deg=a)

    assert_close(torch.func.vmap(turn)(angle), torch.stack([turn(a) for a in angle]), rtol=0, atol=1e-12)


def test_some_parameter_must_be_given() -> None:
    with pytest.raises(ValueError, match="at least one affine parameter"):
        affine_matrix(AffineParameters(), 4, 4)

"""torchvision.transforms.v2.functional as an independent reference, operation by operation.

Differences that remain are named beside each tolerance. Affine operations are compared in test_affine.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from spaces.transforms import TRANSFORMS, Operation, apply
from tests.spaces.transform_laws import noise_image, smooth_image, strengths

VALUES = (-0.8, -0.3, 0.2, 0.7)


def ours(operation: Operation, x: Tensor, v: float, limit: float | None = None) -> Tensor:
    return apply(operation, x, strengths(v, len(x)), limit=limit)


def eight_bit(seed: int, side: int = 24) -> Tensor:
    """uint8 images of limited range, with a gradient and noise."""
    noise = torch.randint(0, 60, (3, 3, side, side), generator=Generator().manual_seed(seed))
    return (noise + torch.arange(side) * 5 + 20).to(torch.uint8)


def affine(x: Tensor, angle: float = 0.0, scale: float = 1.0, shear: tuple[float, float] = (0, 0)) -> Tensor:
    degrees = [math.degrees(math.atan(s)) for s in shear]
    return reference.affine(x, angle, [0, 0], scale, degrees, InterpolationMode.BILINEAR)


AFFINE: dict[Operation, Callable[[Tensor, float], Tensor]] = {
    Operation.ROTATION: lambda x, v: affine(x, angle=30 * v),
    Operation.SCALE: lambda x, v: affine(x, scale=1.5**v),
    Operation.SHEAR_X: lambda x, v: affine(x, shear=(0.3 * v, 0.0)),
    Operation.SHEAR_Y: lambda x, v: affine(x, shear=(0.0, 0.3 * v)),
}


@pytest.mark.parametrize("v", VALUES)
@pytest.mark.parametrize("operation", AFFINE, ids=str)
def test_affine(operation: Operation, v: float) -> None:
    x = smooth_image()
    # torchvision's grid comes from a float32 linspace.
    assert_close(ours(operation, x, v), AFFINE[operation](x, v), rtol=0, atol=2e-5)


@pytest.mark.parametrize("pixels", [-5, 3])
def test_translation(pixels: int) -> None:
    x = smooth_image()
    kwargs = {"angle": 0.0, "scale": 1.0, "shear": [0.0, 0.0], "interpolation": InterpolationMode.BILINEAR}
    right = reference.affine(x, translate=[pixels, 0], **kwargs)
    down = reference.affine(x, translate=[0, pixels], **kwargs)
    assert_close(ours(Operation.TRANSLATE_X, x, pixels / x.shape[-1], limit=1.0), right, rtol=0, atol=2e-5)
    assert_close(ours(Operation.TRANSLATE_Y, x, pixels / x.shape[-2], limit=1.0), down, rtol=0, atol=2e-5)


@pytest.mark.parametrize("v", VALUES)
def test_colour_factors(v: float) -> None:
    for x in (smooth_image(), noise_image(0)):
        factor = 1 + 0.9 * v
        bright = reference.adjust_brightness(x, factor)
        assert_close(ours(Operation.BRIGHTNESS, x, v), bright, rtol=0, atol=1e-12)
        # torchvision's luma weights sum to 0.9999 (0.2989 for red); ours are Rec. 601's and sum to 1.
        contrast, saturation = reference.adjust_contrast(x, factor), reference.adjust_saturation(x, factor)
        assert_close(ours(Operation.CONTRAST, x, v), contrast, rtol=0, atol=1e-4)
        assert_close(ours(Operation.SATURATION, x, v), saturation, rtol=0, atol=1e-4)
        sharp = reference.adjust_sharpness(x, factor)
        assert_close(ours(Operation.SHARPNESS, x, v), sharp, rtol=0, atol=1e-12)


def test_contrast_of_grey_images() -> None:
    x = smooth_image(channels=1)
    assert_close(ours(Operation.CONTRAST, x, 0.5), reference.adjust_contrast(x, 1.45), rtol=0, atol=1e-12)


@pytest.mark.parametrize("v", [-1.0, *VALUES, 1.0])
def test_hue(v: float) -> None:
    for x in (smooth_image(), noise_image(1)):
        theirs = reference.adjust_hue(x.float(), 0.5 * v)  # torchvision computes hue in float32 only
        assert_close(ours(Operation.HUE, x, v).float(), theirs, rtol=0, atol=3e-6)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_gaussian_blur(sigma: float) -> None:
    x = smooth_image(height=40, width=48)
    theirs = reference.gaussian_blur(x, kernel_size=[2 * int(4 * sigma) + 1] * 2, sigma=[sigma, sigma])
    middle = (..., slice(12, -12), slice(12, -12))
    # Borders differ (torchvision reflects about the last pixel, the DCT about its outer edge), hence the
    # middle; there the heat kernel and the sampled Gaussian differ in their fourth moment.
    found = ours(Operation.GAUSSIAN_BLUR, x, sigma / 40, limit=1.0)
    assert_close(found[middle], theirs[middle], rtol=0, atol=1e-4)
    assert (found - x)[middle].abs().max() > 20 * (found - theirs)[middle].abs().max()


@pytest.mark.parametrize("m", [0.1, 0.4, 0.9, 1.0])
def test_solarise(m: float) -> None:
    x = noise_image(2)
    assert_close(ours(Operation.SOLARISE, x, m), reference.solarize(x, 1 - m), rtol=0, atol=1e-12)


@pytest.mark.parametrize("bits", [8, 7, 6, 5, 4, 2])
def test_posterise(bits: int) -> None:
    # torchvision's rule for floating point images has other levels; its 8-bit rule is Pillow's.
    x = eight_bit(0)
    theirs = reference.posterize(x, bits).double() / 255
    found = ours(Operation.POSTERISE, x.double() / 255, (8 - bits) / 6, limit=6.0)
    assert_close(found, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_autocontrast_and_invert(channels: int) -> None:
    x = smooth_image(channels=channels)
    x[0, 0] = 0.3  # a constant channel
    stretched = reference.autocontrast(x.clone())
    assert_close(ours(Operation.AUTOCONTRAST, x, 1.0), stretched, rtol=0, atol=1e-12)
    assert_close(ours(Operation.INVERT, x, 1.0), reference.invert(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", [24, 40])
def test_equalise(side: int) -> None:
    x = eight_bit(1, side)
    x[0, 0] = 77  # a constant channel
    theirs = reference.equalize(x).double() / 255
    assert_close(ours(Operation.EQUALISE, x.double() / 255, 1.0), theirs, rtol=0, atol=1e-12)


def test_equalise_also_acts_on_images_of_few_pixels() -> None:
    x = torch.arange(64, dtype=torch.float64).view(1, 1, 8, 8) / 255
    spread = torch.linspace(0, 1, 64, dtype=torch.float64).view(1, 1, 8, 8)
    assert_close(ours(Operation.EQUALISE, x, 1.0), spread, rtol=0, atol=0.5 / 255 + 1e-12)
    # Pillow and torchvision leave an image of fewer than 255 pixels as it is.
    eight = (x * 255).to(torch.uint8)
    assert torch.equal(reference.equalize(eight), eight)


def test_flips() -> None:
    x = smooth_image()
    assert torch.equal(ours(Operation.FLIP_HORIZONTAL, x, 1.0), reference.horizontal_flip(x))
    assert torch.equal(ours(Operation.FLIP_VERTICAL, x, 1.0), reference.vertical_flip(x))


def test_cutout_of_whole_pixels_erases_them() -> None:
    x = noise_image(3)  # 12 x 12: a square of 6 pixels from 3 to 9
    black = torch.zeros(3, 1, 1, dtype=torch.float64)
    assert_close(ours(Operation.CUTOUT, x, 1.0), reference.erase(x, 3, 3, 6, 6, v=black), rtol=0, atol=1e-12)


def test_every_operation_has_a_reference() -> None:
    named = {
        *AFFINE, Operation.TRANSLATE_X, Operation.TRANSLATE_Y, Operation.BRIGHTNESS, Operation.CONTRAST,
        Operation.SATURATION, Operation.SHARPNESS, Operation.HUE, Operation.GAUSSIAN_BLUR, Operation.SOLARISE,
        Operation.POSTERISE, Operation.AUTOCONTRAST, Operation.INVERT, Operation.EQUALISE,
        Operation.FLIP_HORIZONTAL, Operation.FLIP_VERTICAL, Operation.CUTOUT,
    }  # fmt: skip
    assert named == set(TRANSFORMS)

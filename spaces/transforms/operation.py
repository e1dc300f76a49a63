"""What a transformation of images is: its name, unit, physical limit, sign, and kind of gradient.

Convention: an image batch x is (B, C, H, W), floating point, in [0, 1]; a signed strength v = sign * m is
(B,), one value per image, with the magnitude m in [0, 1]. m = 0 is the identity for every operation. The
physical value is v * limit, and the limit may be set at every use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from torch import Tensor


class Operation(StrEnum):
    """The operations that all methods share."""

    ROTATION = "rotation"
    TRANSLATE_X = "translate_x"
    TRANSLATE_Y = "translate_y"
    SCALE = "scale"
    SHEAR_X = "shear_x"
    SHEAR_Y = "shear_y"
    FLIP_HORIZONTAL = "flip_horizontal"
    FLIP_VERTICAL = "flip_vertical"
    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    SATURATION = "saturation"
    HUE = "hue"
    SHARPNESS = "sharpness"
    GAUSSIAN_BLUR = "gaussian_blur"
    SOLARISE = "solarise"
    POSTERISE = "posterise"
    AUTOCONTRAST = "autocontrast"
    EQUALISE = "equalise"
    INVERT = "invert"
    CUTOUT = "cutout"


class Strength(StrEnum):
    """What the magnitude m means."""

    RANGE = "range"  # a physical quantity: m * limit in the operation's unit
    BLEND = "blend"  # the operation has no strength of its own: (1 - m) x + m op(x)


class GradientKind(StrEnum):
    """Where a gradient comes from."""

    TRUE = "true"                          # the derivative, almost everywhere
    STRAIGHT_THROUGH = "straight_through"  # the derivative is 0 or undefined; the kernel names its stand-in


class Channels(StrEnum):
    """Which images an operation is defined on."""

    ANY = "any"
    COLOUR = "colour"  # exactly three channels, red, green, blue


Limit = float | Tensor  # one physical maximum for the batch, or one per image (B,)


@dataclass(frozen=True, slots=True)
class Transform:
    """One operation and what must be known to use it.

    Args:
        operation: its name.
        unit: of the physical value.
        limit: default physical maximum, reached at m = 1; 1.0 for blends.
        signed: v in [-1, 1] if true, else v in [0, 1].
        strength: a physical range, or the weight of a blend.
        gradient: of the result with respect to v.
        image_gradient: of the result with respect to x.
        channels: colour only, or any.
        apply: (x (B, C, H, W), v (B,), limit) -> (B, C, H, W) in [0, 1]; x in float32 or float64, unchecked.
            `spaces.transforms.apply` is the checked entrance.
    """

    operation: Operation
    unit: str
    limit: float
    signed: bool
    strength: Strength
    gradient: GradientKind
    image_gradient: GradientKind
    channels: Channels
    apply: Callable[[Tensor, Tensor, Limit], Tensor] = field(compare=False)

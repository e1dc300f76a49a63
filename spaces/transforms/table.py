"""The table of all operations: units, default limits, signs, kinds of gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from spaces.transforms import blends, colour, filters, geometric, occlusion, thresholds
from spaces.transforms.operation import Channels, GradientKind, Limit, Operation, Strength, Transform

_Kernel = Callable[[Tensor, Tensor, Limit], Tensor]
_ANY, _COLOUR = Channels.ANY, Channels.COLOUR
_TRUE, _THROUGH = GradientKind.TRUE, GradientKind.STRAIGHT_THROUGH


def _signed(
    operation: Operation, unit: str, limit: float, kernel: _Kernel, channels: Channels = _ANY
) -> Transform:
    return Transform(operation, unit, limit, True, Strength.RANGE, _TRUE, _TRUE, channels, kernel)


def _unsigned(
    operation: Operation, unit: str, limit: float, kernel: _Kernel, to_v: GradientKind, to_x: GradientKind
) -> Transform:
    return Transform(operation, unit, limit, False, Strength.RANGE, to_v, to_x, _ANY, kernel)


def _blend(operation: Operation, kernel: _Kernel, to_x: GradientKind = _TRUE) -> Transform:
    return Transform(operation, "weight", 1.0, False, Strength.BLEND, _TRUE, to_x, _ANY, kernel)


# Default limits: AutoAugment's ranges (Cubuk et al. 2019) where it has the operation; a zoom by 1.5; half a
# turn of hue, which is the whole circle; a blur by a tenth and a square of half the shorter side. Brightness,
# contrast, saturation and sharpness have the factor 1 + v * limit.
_ALL = (
    _signed(Operation.ROTATION, "deg", 30.0, geometric.rotation),
    _signed(Operation.TRANSLATE_X, "fraction of width", 0.45, geometric.translate_x),
    _signed(Operation.TRANSLATE_Y, "fraction of height", 0.45, geometric.translate_y),
    _signed(Operation.SCALE, "log factor", math.log(1.5), geometric.scale),
    _signed(Operation.SHEAR_X, "tangent", 0.3, geometric.shear_x),
    _signed(Operation.SHEAR_Y, "tangent", 0.3, geometric.shear_y),
    _blend(Operation.FLIP_HORIZONTAL, blends.flip_horizontal),
    _blend(Operation.FLIP_VERTICAL, blends.flip_vertical),
    _signed(Operation.BRIGHTNESS, "factor", 0.9, colour.brightness),
    _signed(Operation.CONTRAST, "factor", 0.9, colour.contrast),
    _signed(Operation.SATURATION, "factor", 0.9, colour.saturation, _COLOUR),
    _signed(Operation.HUE, "turn", 0.5, colour.hue, _COLOUR),
    _signed(Operation.SHARPNESS, "factor", 0.9, filters.sharpness),
    _unsigned(Operation.GAUSSIAN_BLUR, "fraction of side", 0.1, filters.gaussian_blur, _TRUE, _TRUE),
    _unsigned(Operation.SOLARISE, "intensity", 1.0, thresholds.solarise, _THROUGH, _TRUE),
    _unsigned(Operation.POSTERISE, "bits", 4.0, thresholds.posterise, _THROUGH, _THROUGH),
    _blend(Operation.AUTOCONTRAST, blends.autocontrast),
    _blend(Operation.EQUALISE, blends.equalise, _THROUGH),
    _blend(Operation.INVERT, blends.invert),
    _unsigned(Operation.CUTOUT, "fraction of side", 0.5, occlusion.cutout, _TRUE, _TRUE),
)
# A plain dictionary behind a read-only type: torch.compile cannot look into a MappingProxyType.
TRANSFORMS: Mapping[Operation, Transform] = {t.operation: t for t in _ALL}

# The largest limits that mean anything, of operations that have ranges: half a turn; a whole image; a zoom by 148; a
# shear by 84 degrees; a factor that is not negative; half the circle of hues; a blur that leaves one colour.
MEANINGFUL: Mapping[Operation, float] = {
    Operation.ROTATION: 180.0, Operation.TRANSLATE_X: 1.0, Operation.TRANSLATE_Y: 1.0, Operation.SCALE: 5.0,
    Operation.SHEAR_X: 10.0, Operation.SHEAR_Y: 10.0, Operation.BRIGHTNESS: 1.0, Operation.CONTRAST: 1.0,
    Operation.SATURATION: 1.0, Operation.HUE: 0.5, Operation.GAUSSIAN_BLUR: 1.0,
}


def fits(operation: Operation, channels: int) -> bool:
    """Whether the operation is defined on images with this many channels."""
    return channels == 3 or TRANSFORMS[operation].channels is Channels.ANY

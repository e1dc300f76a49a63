"""The six affine operations, one parameter each; `batch.py` fuses those of a batch into one warp."""

from __future__ import annotations

from torch import Tensor

from spaces.transforms.affine import AffineParameters, affine_matrix, warp
from spaces.transforms.operation import Limit, Operation

# The field of AffineParameters that each operation sets.
FIELD = {
    Operation.ROTATION: "rotation_deg",
    Operation.TRANSLATE_X: "translate_x",
    Operation.TRANSLATE_Y: "translate_y",
    Operation.SCALE: "log_scale",
    Operation.SHEAR_X: "shear_x",
    Operation.SHEAR_Y: "shear_y",
}
GEOMETRIC = tuple(FIELD)


def rotation(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Turn clockwise by v * limit degrees about the image centre."""
    return _warped(x, AffineParameters(rotation_deg=v * limit))


def translate_x(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Move right by v * limit widths."""
    return _warped(x, AffineParameters(translate_x=v * limit))


def translate_y(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Move down by v * limit heights."""
    return _warped(x, AffineParameters(translate_y=v * limit))


def scale(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Enlarge by exp(v * limit) about the image centre."""
    return _warped(x, AffineParameters(log_scale=v * limit))


def shear_x(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Slide rows by -v * limit pixels per pixel below the image centre."""
    return _warped(x, AffineParameters(shear_x=v * limit))


def shear_y(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Slide columns by -v * limit pixels per pixel right of the image centre."""
    return _warped(x, AffineParameters(shear_y=v * limit))


def _warped(x: Tensor, parameters: AffineParameters) -> Tensor:
    return warp(x, affine_matrix(parameters, x.shape[-2], x.shape[-1]))

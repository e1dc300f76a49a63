"""All affine transformations of a batch in one warp: parameters, sampling matrix, bilinear resampling."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


class Padding(StrEnum):
    """What lies outside the image; values are grid_sample's own names."""

    ZEROS = "zeros"
    REFLECTION = "reflection"
    BORDER = "border"


@dataclass(frozen=True, slots=True)
class AffineParameters:
    """Parameters of one affine map per image, each (B,) or None for 0; signs as in torchvision's `affine`.

    Args:
        rotation_deg: degrees; positive turns the content clockwise (as torchvision's `affine`, not `rotate`).
        translate_x: fraction of the width; positive moves the content right.
        translate_y: fraction of the height; positive moves the content down.
        log_scale: natural logarithm of the zoom factor; positive enlarges.
        shear_x: tangent of torchvision's shear angle: content at height y (down, from the centre) moves by
            -shear_x y.
        shear_y: likewise: content at x (right, from the centre) moves down by -shear_y x.
    """

    rotation_deg: Tensor | None = None
    translate_x: Tensor | None = None
    translate_y: Tensor | None = None
    log_scale: Tensor | None = None
    shear_x: Tensor | None = None
    shear_y: Tensor | None = None

    def filled(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The six tensors in the order of the fields, zeros for None, in float32 at least."""
        values = [getattr(self, f.name) for f in fields(self)]
        given = [value for value in values if value is not None]
        if not given:
            raise ValueError("at least one affine parameter must be given, but all six are None")
        wide = torch.promote_types(given[0].dtype, torch.float32)
        zero = torch.zeros_like(given[0], dtype=wide)
        rotation, x, y, scale, shear_x, shear_y = (zero if v is None else v.to(wide) for v in values)
        return rotation, x, y, scale, shear_x, shear_y


def affine_matrix(p: AffineParameters, height: int, width: int) -> Tensor:
    """Sampling matrix (B, 2, 3): where in the input each output point is read, in coordinates in [-1, 1].

    Content moves by p_out = T R S Shy Shx p_in in pixels about the image centre: shear x first, then shear y,
    scale, rotation, translation last (torchvision's order). The matrix is the inverse, Shx^-1 Shy^-1 S^-1
    R^-1 T^-1, conjugated by diag(W / 2, H / 2), so that a rotation stays a rotation on images that are not
    square. Exactly [I | 0] where all parameters are exactly zero.
    """
    rotation_deg, translate_x, translate_y, log_scale, shear_x, shear_y = p.filled()
    angle = torch.deg2rad(rotation_deg)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Rows of Shx^-1 Shy^-1 R^-1. Few operations on pairs of numbers: a small network's step feels each of them.
    turned_x, turned_y = torch.stack((cos, sin), dim=-1), torch.stack((-sin, cos), dim=-1)
    lower = torch.addcmul(turned_y, shear_y[..., None], turned_x)
    upper = torch.addcmul(turned_x, shear_x[..., None], lower)
    linear = torch.stack((upper, lower), dim=-2) * torch.exp(-log_scale)[..., None, None]
    if height != width:
        linear = linear * _aspect(height, width, linear)
    # A fraction of the side is 2 units of [-1, 1].
    shift = -2 * torch.stack((translate_x, translate_y), dim=-1)
    return torch.cat((linear, (linear * shift[..., None, :]).sum(-1, keepdim=True)), dim=-1)


def _aspect(height: int, width: int, like: Tensor) -> Tensor:
    """(2, 2), what the conjugation does to each entry; filled on the device, which need not be waited for."""
    aspect = torch.ones(2, 2, dtype=like.dtype, device=like.device)
    aspect[0, 1], aspect[1, 0] = height / width, width / height
    return aspect


def warp(x: Tensor, matrix: Tensor, padding: Padding = Padding.ZEROS, exact: bool = True) -> Tensor:
    """Resample x (B, C, H, W) at matrix (B, 2, 3) times each output pixel's centre, bilinear.

    Pixel centres lie at (2 i + 1) / N - 1 (align_corners=False). Computed in float32 at least, also under
    autocast: a bfloat16 grid would be off by whole pixels. Gradients flow to x and to the matrix; at a matrix
    that samples exactly at pixel centres (the identity) the derivative of bilinear interpolation is
    one-sided.

    Args:
        exact: the identity changes no bit. Costs about as much as the resampling; without, values are as near as the
            grid's rounding, 1e-5 at 224 pixels.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    image, matrix = x.to(wide), matrix.to(wide)
    # What depends on the column and what on the row are added. Not affine_grid: it has no batching rule under vmap,
    # a batch of products as small as its takes longer than the resampling, and GPUs may round products to TF32.
    x_centres, y_centres = (_pixel_centres(size, image) for size in (x.shape[-1], x.shape[-2]))
    columns = matrix[..., 0, None] * x_centres  # (B, 2, W)
    rows = torch.addcmul(matrix[..., 2, None], matrix[..., 1, None], y_centres)  # (B, 2, H)
    grid = (columns[..., None, :] + rows[..., :, None]).permute(0, 2, 3, 1)
    warped = grid_sample(image, grid, "bilinear", padding.value, align_corners=False)
    if exact:  # in value; the gradient is the warp's
        still = (matrix == torch.eye(2, 3, dtype=wide, device=x.device)).all(-1).all(-1)[:, None, None, None]
        warped = torch.where(still, image.detach() + (warped - warped.detach()), warped)
    return warped.to(x.dtype)


def _pixel_centres(size: int, like: Tensor) -> Tensor:
    """(size,) coordinates of pixel centres along a side."""
    return (2 * torch.arange(size, dtype=like.dtype, device=like.device) + 1) / size - 1

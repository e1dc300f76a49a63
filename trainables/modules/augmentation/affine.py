"""Learned affine transformations of images: all operations in one warp.

Axes: B images (B, C, H, W), Q operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from spaces.transforms import (
    GEOMETRIC,
    MEANINGFUL,
    TRANSFORMS,
    AffineParameters,
    Operation,
    Padding,
    affine_matrix,
    warp,
)
from spaces.transforms.geometric import FIELD
from tracking.errors import UserError
from trainables.modules.augmentation.ranged import ImageLayer
from trainables.modules.augmentation.ranges import Parametrisation

# Half a turn is every rotation; shears and zooms reach further than what is usual for fixed augmentation.
CAPS: Mapping[Operation, float] = {
    Operation.ROTATION: 180.0, Operation.TRANSLATE_X: 0.45, Operation.TRANSLATE_Y: 0.45,
    Operation.SCALE: math.log(2), Operation.SHEAR_X: 0.6, Operation.SHEAR_Y: 0.6,
}


class LearnedAffine(ImageLayer[Operation]):
    """x(A^-1 p) with A = T R S Shy Shx, every parameter v_k ~ U(-r_k, r_k), r_k learned: one bilinear warp.

    Reparametrised, v_k = (2 u_k - 1) r_k, so dL/dr_k flows through the warp (Augerino, Benton et al. 2020, learns such
    widths in the Lie algebra: `LieAffine`). Ranges keep their physical units, and one warp instead of a chain blurs
    once.

    Args:
        operations: of `spaces.transforms.GEOMETRIC`, without repetition.
        caps: largest ranges where they differ from `CAPS`, in the operations' units.
        start: see `Ranges`.
        padding: what lies outside the image; `reflection` suits photographs.

    Raises:
        UserError: an operation that is not affine, or is named twice; a cap beyond half a turn, a whole image, a
            zoom by 148 or a shear by 84 degrees.
    """

    MEANINGFUL: ClassVar[Mapping[str, float]] = {operation: MEANINGFUL[operation] for operation in GEOMETRIC}

    def __init__(
        self, operations: Sequence[Operation] = GEOMETRIC, caps: Mapping[Operation, float] | None = None,
        start: float | Sequence[float] = 1 / 8, parametrisation: Parametrisation = Parametrisation.SIGMOID,
        padding: Padding = Padding.ZEROS,
    ) -> None:
        units = {operation: TRANSFORMS[operation].unit for operation in CAPS}
        super().__init__(operations, CAPS, units, caps, start, parametrisation)
        self.padding = padding

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "padding": str(self.padding)}

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        return warp(x, self.matrix(noise, active, x.shape[-2], x.shape[-1]), self.padding, exact=False)

    def matrix(self, noise: Tensor, active: Tensor | None, height: int, width: int) -> Tensor:
        """Sampling matrices (B, 2, 3), see `affine_matrix`."""
        strengths = self.strengths(noise, active, self.ranges.logits.dtype).unbind(-1)
        fields = (FIELD[operation] for operation in self.operations)
        return affine_matrix(AffineParameters(**dict(zip(fields, strengths, strict=True))), height, width)


GENERATORS = ("translate_x", "translate_y", "rotation", "scale", "stretch", "shear")  # Augerino's G_1 .. G_6
# With translations in the third column; sampling coordinates in [-1, 1], y down.
_BASIS = torch.tensor([
    [[0, 0, 1], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, -1, 0], [0, 0, 0]], [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
], dtype=torch.float32)
FARTHEST = 20.0  # strength of a generator: exponentials of six such together are still numbers in float32
_UNITS = ("of half the width", "of half the height", "rad", "log factor", "log factor", "log factor")


class LieAffine(ImageLayer[str]):
    """Augerino's layer (Benton et al. 2020): g = exp(sum_k v_k G_k), v_k ~ U(-r_k, r_k), in one warp.

    The exponential is `torch.linalg.matrix_exp` on the device instead of an ODE solver on the CPU, and translations are
    not scaled by 0.1 (on a GPU it may wait for the device). The paper's width is 2 r. Rotations are exact on square
    images only, as in the paper.

    Args:
        caps: (6,) largest r; in coordinates in [-1, 1] and radians.
        start: see `Ranges`; the paper starts with one width for all and learns with a softplus.

    Raises:
        UserError: not six caps, or one beyond FARTHEST.
    """

    MEANINGFUL: ClassVar[Mapping[str, float]] = dict.fromkeys(GENERATORS, FARTHEST)

    def __init__(
        self, caps: Sequence[float] = (0.9, 0.9, math.pi, 0.7, 0.7, 0.7), start: float | Sequence[float] = 1 / 8,
        parametrisation: Parametrisation = Parametrisation.SOFTPLUS, padding: Padding = Padding.ZEROS,
    ) -> None:
        if len(caps) != len(GENERATORS):
            raise UserError("Augerino has six generators", f"{len(caps)} caps", ", ".join(GENERATORS))
        known = dict(zip(GENERATORS, caps, strict=True))
        units = dict(zip(GENERATORS, _UNITS, strict=True))
        super().__init__(GENERATORS, known, units, known, start, parametrisation)
        self.padding = padding
        self.register_buffer("basis", _BASIS.clone(), persistent=False)

    basis: Tensor

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "padding": str(self.padding)}

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        with torch.autocast(x.device.type, enabled=False):
            algebra = torch.einsum("bk,kij->bij", self.strengths(noise, active, self.basis.dtype), self.basis)
            group = torch.linalg.matrix_exp(algebra)
        return warp(x, group[:, :2], self.padding, exact=False)

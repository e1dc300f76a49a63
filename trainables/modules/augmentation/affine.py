"""Learned affine transformations of images: all operations in one warp.

Axes: B images (B, C, H, W), Q operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spaces.transforms import GEOMETRIC, TRANSFORMS, AffineParameters, Operation, Padding, affine_matrix, warp
from spaces.transforms.geometric import FIELD
from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange, ranges_learned, symmetric
from trainables.modules.augmentation.ranges import Parametrisation, Ranges

# Half a turn is every rotation; shears and zooms reach further than what is usual for fixed augmentation.
CAPS: Mapping[Operation, float] = {
    Operation.ROTATION: 180.0, Operation.TRANSLATE_X: 0.45, Operation.TRANSLATE_Y: 0.45,
    Operation.SCALE: math.log(2), Operation.SHEAR_X: 0.6, Operation.SHEAR_Y: 0.6,
}


class LearnedAffine(AugmentationLayer):
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
        UserError: an operation that is not affine, or is named twice.
    """

    def __init__(
        self, operations: Sequence[Operation] = GEOMETRIC, caps: Mapping[Operation, float] | None = None,
        start: float | Sequence[float] = 1 / 8, parametrisation: Parametrisation = Parametrisation.SIGMOID,
        padding: Padding = Padding.ZEROS,
    ) -> None:
        super().__init__()
        self.operations = affine_operations(operations)
        reach = {**CAPS, **(caps or {})}
        self.ranges = Ranges([reach[operation] for operation in self.operations], start, parametrisation)
        self.padding = padding

    def noise_size(self) -> int:
        return len(self.operations)

    @property
    def shares(self) -> Tensor:
        return self.ranges.shares

    def learned(self) -> tuple[LearnedRange, ...]:
        units = tuple(TRANSFORMS[operation].unit for operation in self.operations)
        return ranges_learned(tuple(self.operations), units, self.ranges.widths, self.ranges.caps)

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().check(shape, dtype)
        require_image(shape)

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.check(x.shape[1:], x.dtype)
        return warp(x, self.matrix(noise, active, x.shape[-2], x.shape[-1]), self.padding, exact=False)

    def matrix(self, noise: Tensor, active: Tensor | None, height: int, width: int) -> Tensor:
        """Sampling matrices (B, 2, 3), see `affine_matrix`."""
        strengths = symmetric(noise, self.ranges.widths, active).unbind(-1)
        fields = (FIELD[operation] for operation in self.operations)
        return affine_matrix(AffineParameters(**dict(zip(fields, strengths, strict=True))), height, width)


GENERATORS = ("translate_x", "translate_y", "rotation", "scale", "stretch", "shear")  # Augerino's G_1 .. G_6
# With translations in the third column; sampling coordinates in [-1, 1], y down.
_BASIS = torch.tensor([
    [[0, 0, 1], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, -1, 0], [0, 0, 0]], [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
], dtype=torch.float32)
_UNITS = ("of half the width", "of half the height", "rad", "log factor", "log factor", "log factor")


class LieAffine(AugmentationLayer):
    """Augerino's layer (Benton et al. 2020): g = exp(sum_k v_k G_k), v_k ~ U(-r_k, r_k), in one warp.

    The exponential is `torch.linalg.matrix_exp` on the device instead of an ODE solver on the CPU, and translations are
    not scaled by 0.1. The paper's width is 2 r. Rotations are exact on square images only, as in the paper.

    Args:
        caps: (6,) largest r; in coordinates in [-1, 1] and radians.
        start: see `Ranges`; the paper starts with one width for all and learns with a softplus.
    """

    def __init__(
        self, caps: Sequence[float] = (0.9, 0.9, math.pi, 0.7, 0.7, 0.7), start: float | Sequence[float] = 1 / 8,
        parametrisation: Parametrisation = Parametrisation.SOFTPLUS, padding: Padding = Padding.ZEROS,
    ) -> None:
        super().__init__()
        if len(caps) != len(GENERATORS):
            raise UserError("Augerino has six generators", f"{len(caps)} caps", ", ".join(GENERATORS))
        self.ranges = Ranges(caps, start, parametrisation)
        self.padding = padding
        self.register_buffer("basis", _BASIS.clone(), persistent=False)

    basis: Tensor

    def noise_size(self) -> int:
        return len(GENERATORS)

    @property
    def shares(self) -> Tensor:
        return self.ranges.shares

    def learned(self) -> tuple[LearnedRange, ...]:
        return ranges_learned(GENERATORS, _UNITS, self.ranges.widths, self.ranges.caps)

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().check(shape, dtype)
        require_image(shape)

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.check(x.shape[1:], x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            algebra = torch.einsum("bk,kij->bij", symmetric(noise, self.ranges.widths, active), self.basis)
            group = torch.linalg.matrix_exp(algebra)
        return warp(x, group[:, :2], self.padding, exact=False)


def affine_operations(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Checked: affine, each once, at least one."""
    unknown = [operation for operation in operations if operation not in FIELD]
    if unknown or not operations or len(set(operations)) < len(operations):
        raise UserError("a learned warp takes affine operations, each once", [str(o) for o in operations],
                        f"choose among {', '.join(GEOMETRIC)}")
    return tuple(operations)


def require_image(shape: tuple[int, ...]) -> None:
    """Raises UserError unless (C, H, W)."""
    if len(shape) != 3:
        raise UserError("this augmentation is for images (C, H, W)", tuple(shape), "signals take `LearnedSignal`")

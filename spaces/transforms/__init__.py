"""Differentiable, batched, per-image transformations: one convention, magnitude 0 is the identity.

`apply` runs one operation on a batch, `apply_mixed` one of several per image, `warp` any affine map.
"""

from spaces.transforms.affine import AffineParameters, Padding, affine_matrix, warp
from spaces.transforms.batch import IDENTITY, apply, apply_mixed
from spaces.transforms.geometric import GEOMETRIC
from spaces.transforms.operation import Channels, GradientKind, Operation, Strength, Transform
from spaces.transforms.table import MEANINGFUL, TRANSFORMS, fits

__all__ = [
    "GEOMETRIC",
    "IDENTITY",
    "MEANINGFUL",
    "TRANSFORMS",
    "AffineParameters",
    "Channels",
    "GradientKind",
    "Operation",
    "Padding",
    "Strength",
    "Transform",
    "affine_matrix",
    "apply",
    "apply_mixed",
    "fits",
    "warp",
]

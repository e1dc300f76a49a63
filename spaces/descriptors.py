"""Invariance descriptors: which transformations a feature extractor is to ignore, and how much of each.

A descriptor i is (K,) in [0, 1]^K, one entry per factor of a family: 0 keeps the factor, 1 ignores it over its whole
range, between lies a share of it. A factor owns one or more of the P parameters theta in [-1, 1]^P that one random
view of an image is made with: translation and shear own two, colour owns hue and saturation.

Axes: B images, K factors, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor

from spaces.domain import Float, Space
from spaces.transforms import TRANSFORMS, AffineParameters, Operation, affine_matrix, apply, fits, warp
from spaces.transforms.geometric import FIELD


class Factor(StrEnum):
    """What one entry of a descriptor is about."""

    ROTATION = "rotation"
    TRANSLATION = "translation"
    SCALE = "scale"
    SHEAR = "shear"
    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    BLUR = "blur"
    COLOUR = "colour"


OPERATIONS: Mapping[Factor, tuple[Operation, ...]] = {
    Factor.ROTATION: (Operation.ROTATION,),
    Factor.TRANSLATION: (Operation.TRANSLATE_X, Operation.TRANSLATE_Y),
    Factor.SCALE: (Operation.SCALE,),
    Factor.SHEAR: (Operation.SHEAR_X, Operation.SHEAR_Y),
    Factor.BRIGHTNESS: (Operation.BRIGHTNESS,),
    Factor.CONTRAST: (Operation.CONTRAST,),
    Factor.BLUR: (Operation.GAUSSIAN_BLUR,),
    Factor.COLOUR: (Operation.HUE, Operation.SATURATION),
}
# Half-widths at |theta| = 1, in the units of `spaces.transforms`.
LIMITS: Mapping[Operation, float] = {
    Operation.ROTATION: 60.0, Operation.TRANSLATE_X: 0.2, Operation.TRANSLATE_Y: 0.2,
    Operation.SCALE: math.log(1.4), Operation.SHEAR_X: 0.6, Operation.SHEAR_Y: 0.6,
    Operation.BRIGHTNESS: 0.6, Operation.CONTRAST: 0.7, Operation.GAUSSIAN_BLUR: 0.12,
    Operation.HUE: 0.4, Operation.SATURATION: 0.6,
}


class Family(BaseModel):
    """The factors of a descriptor in order, and the physical half-width of each operation at |theta| = 1.

    Args:
        factors: K different ones.
        limits: operation -> half-width in its unit, for the operations of these factors; defaults where left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factors: tuple[Factor, ...] = Field(min_length=1)
    limits: dict[Operation, float] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.factors)) < len(self.factors):
            raise ValueError(f"a factor may occur once, but got {', '.join(self.factors)}")
        foreign = [operation.value for operation in self.limits if operation not in self.operations]
        if foreign:
            raise ValueError(f"limits are of operations of the factors, but got {', '.join(foreign)}")
        wrong = {name.value: value for name, value in self.limits.items() if not (0 < value < math.inf)}
        if wrong:
            raise ValueError(f"limits must be positive and finite, but got {wrong}")
        return self

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operation of each parameter, (P,)."""
        return tuple(operation for factor in self.factors for operation in OPERATIONS[factor])

    @property
    def owners(self) -> tuple[int, ...]:
        """The factor that each parameter belongs to, (P,), in [0, K)."""
        return tuple(k for k, factor in enumerate(self.factors) for _ in OPERATIONS[factor])

    def limit(self, operation: Operation) -> float:
        """Physical half-width at |theta| = 1."""
        return self.limits.get(operation, LIMITS[operation])

    @property
    def space(self) -> Space:
        """Every entry as a parameter that can be tuned."""
        return Space({factor.value: Float(low=0.0, high=1.0) for factor in self.factors})

    def corners(self) -> Tensor:
        """All on-off descriptors (2^K, K); the first is all off, the last all on."""
        count = len(self.factors)
        codes = torch.arange(2**count)[:, None]
        return (codes >> torch.arange(count - 1, -1, -1) & 1).float()

    def descriptor(self, entries: Mapping[str, float] | Sequence[float]) -> Tensor:
        """Checked entries as (K,) float32: by name (what is not named is 0) or in the order of the factors.

        Raises:
            ValueError: an unknown name, a wrong length, or a value outside of [0, 1].
        """
        names = [factor.value for factor in self.factors]
        if isinstance(entries, Mapping):
            unknown = sorted(set(entries) - set(names))
            if unknown:
                raise ValueError(f"a descriptor has the entries {', '.join(names)}, but got {', '.join(unknown)}")
            values = [float(entries.get(name, 0.0)) for name in names]
        else:
            values = [float(value) for value in entries]
        if len(values) != len(names):
            raise ValueError(f"a descriptor has {len(names)} entries ({', '.join(names)}), but got {len(values)}")
        outside = {name: value for name, value in zip(names, values, strict=True) if not 0.0 <= value <= 1.0}
        if outside:
            raise ValueError(f"the entries of a descriptor lie in [0, 1], but got {outside}")
        return torch.tensor(values)

    def named(self, descriptor: Tensor) -> dict[str, float]:
        """Entries by name; the inverse of `descriptor`."""
        return {factor.value: float(value) for factor, value in zip(self.factors, descriptor.tolist(), strict=True)}

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Parameters theta (B, P), uniform in [-1, 1]."""
        return 2 * torch.rand(count, len(self.operations), generator=generator) - 1

    def spread(self, descriptor: Tensor) -> Tensor:
        """Entries (..., K) as one number per parameter (..., P): the entry of the parameter's owner."""
        return descriptor[..., list(self.owners)]

    def effective(self, theta: Tensor) -> Tensor:
        """What can be seen of theta (..., P), in [-1, 1]: of an operation without a direction (blur), 2 |theta| - 1."""
        signed = torch.tensor([TRANSFORMS[operation].signed for operation in self.operations], device=theta.device)
        return torch.where(signed, theta, 2 * theta.abs() - 1)

    def apply(self, x: Tensor, theta: Tensor) -> Tensor:
        """One view of each image; theta = 0 is the identity. Differentiable in x and theta.

        All affine factors are one warp (the order of `AffineParameters`), then colour, then blur, whose width is
        |theta| times its limit.

        Args:
            x: images (B, C, H, W) in [0, 1].
            theta: (B, P) in [-1, 1].
        """
        column = dict(zip(self.operations, theta.unbind(-1), strict=True))
        affine = {FIELD[name]: v * self.limit(name) for name, v in column.items() if name in FIELD}
        if affine:
            x = warp(x, affine_matrix(AffineParameters(**affine), x.shape[-2], x.shape[-1]))
        for name, v in column.items():
            if name not in FIELD:
                x = apply(name, x, v if TRANSFORMS[name].signed else v.abs(), limit=self.limit(name))
        return x

    def fits(self, channels: int) -> bool:
        """Whether all factors are defined on images with so many channels."""
        return all(fits(operation, channels) for operation in self.operations)


def standard_family(channels: int) -> Family:
    """Seven factors for grey images, eight for three channels."""
    grey = tuple(factor for factor in Factor if factor is not Factor.COLOUR)
    return Family(factors=(*grey, Factor.COLOUR) if channels == 3 else grey)


def share_parameters(first: Tensor, fresh: Tensor, share: Tensor) -> Tensor:
    """The second view's theta: what is kept is the first view's, what is ignored is drawn afresh.

    theta2 = theta1 + i (fresh - theta1), per parameter: off = the same value in both views, on = independent.
    """
    return first + share * (fresh - first)

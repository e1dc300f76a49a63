"""Layers whose operations have one range each: names, caps and units checked and kept in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from tracking.errors import UserError, nearest
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange
from trainables.modules.augmentation.ranges import Parametrisation, Ranges

Name = TypeVar("Name", bound=str)  # of an operation


class RangedLayer(AugmentationLayer, Generic[Name]):
    """Q operations, each with a learned range; strengths are uniform in [-r_k, r_k) unless a layer says otherwise.

    Args:
        operations: which, each once, at least one.
        known: every operation that this kind of layer has, with its cap.
        units: of the operations.
        caps: largest ranges where they differ from `known`.
        start, parametrisation: see `Ranges`.

    Raises:
        UserError: an operation that is not known or is named twice, a cap of an operation that was not chosen or that
            is beyond `MEANINGFUL`.
    """

    MEANINGFUL: ClassVar[Mapping[str, float]] = {}  # operation -> the largest cap that means anything, in its unit

    def __init__(
        self, operations: Sequence[Name], known: Mapping[Name, float], units: Mapping[Name, str],
        caps: Mapping[Name, float] | None, start: float | Sequence[float], parametrisation: Parametrisation,
    ) -> None:
        super().__init__()
        if not operations or len(set(operations)) < len(operations) or not set(operations) <= set(known):
            raise UserError("a layer takes each of its operations once", [str(one) for one in operations],
                            f"choose among {', '.join(known)}")
        given = caps or {}
        for name in given:
            if name not in operations:
                raise UserError("a cap must name an operation of the layer", name, nearest(name, map(str, operations)))
        self.require_meaning(given)
        self.operations = tuple(operations)
        self.units = tuple(units[one] for one in operations)
        self.ranges = Ranges([given.get(one, known[one]) for one in operations], start, parametrisation)

    @classmethod
    def require_meaning(cls, ranges: Mapping[Name, float]) -> None:
        """Raises UserError where a range, in its unit, is beyond the largest one that means anything."""
        for name, width in ranges.items():
            if width > cls.MEANINGFUL.get(name, math.inf):
                raise UserError(f"a range of {name} beyond {cls.MEANINGFUL[name]:g} means nothing", width,
                                "give a smaller one, or leave it out")

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "operations": [str(one) for one in self.operations],
                "parametrisation": str(self.ranges.parametrisation)}

    def noise_size(self) -> int:
        return len(self.operations)

    @property
    def shares(self) -> Tensor:
        return self.ranges.shares

    def learned(self) -> tuple[LearnedRange, ...]:
        widths, caps = self.ranges.widths.detach().tolist(), self.ranges.caps.tolist()
        rows = zip(self.operations, self.units, widths, caps, strict=True)
        return tuple(LearnedRange(str(name), unit, *self.bounds(name, width), cap) for name, unit, width, cap in rows)

    def bounds(self, operation: Name, width: float) -> tuple[float, float]:
        """Between which strengths of an operation lie."""
        return -width, width

    def strengths(self, noise: Tensor, active: Tensor | None, dtype: torch.dtype) -> Tensor:
        """(B, Q), uniform in [-r_k, r_k): noise (B, Q) in [0, 1), active (B, Q) or None."""
        drawn = (2 * noise - 1) * self.ranges.widths
        return (drawn if active is None else drawn * active).to(dtype)


class ImageLayer(RangedLayer[Name]):
    """For images (C, H, W)."""

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().check(shape, dtype)
        if len(shape) != 3 or 0 in shape:
            raise UserError("this augmentation is for batches of images (B, C, H, W)", f"inputs {tuple(shape)}",
                            "one image is `x[None]`; signals take `LearnedSignal`")

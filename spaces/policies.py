"""Augmentation policies: one operation per image, drawn by weight; and the search-free TrivialAugment."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor

from spaces.transforms import IDENTITY, TRANSFORMS, Operation, Strength, apply_mixed, fits

BINS = 31  # strengths of TrivialAugment and RandAugment
_SLACK = 1e-6  # rounding of weights that come from a softmax


class PolicyEntry(BaseModel):
    """One operation of a policy.

    Args:
        operation: what is done.
        weight: probability of being drawn, in [0, 1].
        magnitude: bound r of the strength in [0, 1]: |v| ~ U(0, r). Blends (flips, autocontrast, equalise,
            invert) have no strength: once drawn they are applied in full, whatever r is.
        limit: physical maximum at m = 1; the operation's default if None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: Operation
    weight: float = Field(ge=0, le=1)
    magnitude: float = Field(default=1.0, ge=0, le=1)
    limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Policy(BaseModel):
    """A mixture: each image gets one entry, drawn by weight; with the remaining weight it stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries: tuple[PolicyEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        total = sum(entry.weight for entry in self.entries)
        if total > 1 + _SLACK:
            raise ValueError(f"the weights must sum to 1 at most, but got {total:.6g}")
        names = [entry.operation.value for entry in self.entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"every operation may occur once, but got {', '.join(twice)} more than once")
        return self

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Transform each image of x (B, C, H, W) by an entry of its own, drawn independently.

        The strength is v = s u r with u ~ U(0, 1) and a random sign s where the operation has one; blends use
        m = 1. Three numbers per image are drawn whatever the entries are, and the two coordinates of a square
        after them where cutout is among the entries: batches of one size take equal parts of the stream.

        Raises:
            ValueError: an entry acts on colours and the images have none.
        """
        device, wide = generator.device, torch.float64
        choice, u, s = torch.rand(3, len(x), generator=generator, device=device, dtype=wide).cpu()
        bounds = torch.tensor([entry.weight for entry in self.entries], dtype=wide).cumsum(0)
        index = torch.searchsorted(bounds, choice, right=True)
        index = torch.where(index == len(self.entries), IDENTITY, index)
        table = [TableEntry(e.operation, e.limit, e.magnitude) for e in self.entries]
        return _transformed(table, index, u, torch.where(s < 0.5, -1.0, 1.0), x, generator)

    def physical(self) -> dict[str, float]:
        """What is logged, in physical units: "policy/rotation/probability", "policy/rotation/range_deg"."""
        found: dict[str, float] = {}
        for entry in self.entries:
            transform = TRANSFORMS[entry.operation]
            found[f"policy/{entry.operation}/probability"] = entry.weight
            if transform.strength is Strength.RANGE:
                limit = transform.limit if entry.limit is None else entry.limit
                unit = transform.unit.replace(" ", "_")
                found[f"policy/{entry.operation}/range_{unit}"] = entry.magnitude * limit
        return found


class TableEntry(NamedTuple):
    """One line of a table of operations: None is the identity; limit and magnitude as in `PolicyEntry`."""

    operation: Operation | None
    limit: float | None = None
    magnitude: float = 1.0


class TrivialAugmentSpace(StrEnum):
    """Which maxima TrivialAugment uses."""

    WIDE = "wide"      # the paper's recommendation and torchvision's default
    RA = "ra"          # RandAugment's, which the paper uses for cheap networks: at most 10 px and 30 deg
    CAPPED = "capped"  # WIDE, translation at most 0.45 of the side: 32 px empty a 28 px image


def trivial_augment(x: Tensor, generator: Generator, table: Sequence[TableEntry]) -> Tensor:
    """TrivialAugment (Mueller & Hutter 2021): per image one operation, one of 31 strengths, both uniform.

    Signs are random where the operation has one. There is nothing to tune.

    Deviations from torchvision's `TrivialAugmentWide`: images are transformed one by one, not batch by batch;
    warps are bilinear, not nearest; shears are about the centre, not the upper left corner; solarise at
    strength 0 leaves white alone.

    Raises:
        ValueError: the table is empty, or has operations on colours for images without.
    """
    if not table:
        raise ValueError("the table must have at least one operation, but got none")
    where, size = generator.device, (len(x),)
    index = torch.randint(len(table), size, generator=generator, device=where).cpu()
    strength = torch.randint(BINS, size, generator=generator, device=where).cpu() / (BINS - 1)
    sign = torch.randint(2, size, generator=generator, device=where).cpu() * 2.0 - 1.0
    return _transformed(table, index, strength, sign, x, generator)


def trivial_augment_table(
    channels: int, height: int, width: int, variant: TrivialAugmentSpace = TrivialAugmentSpace.WIDE
) -> tuple[TableEntry, ...]:
    """The 14 operations with their maxima; 13 for images without colours, where saturation is left out."""
    narrow = variant is TrivialAugmentSpace.RA
    pixels, shear, turn, factor, bits = (10, 0.3, 30.0, 0.9, 4.0) if narrow else (32, 0.99, 135.0, 0.99, 6.0)
    cap = 0.45 if variant is TrivialAugmentSpace.CAPPED else float("inf")
    table = (
        TableEntry(None),
        TableEntry(Operation.SHEAR_X, shear),
        TableEntry(Operation.SHEAR_Y, shear),
        TableEntry(Operation.TRANSLATE_X, min(pixels / width, cap)),
        TableEntry(Operation.TRANSLATE_Y, min(pixels / height, cap)),
        TableEntry(Operation.ROTATION, turn),
        TableEntry(Operation.BRIGHTNESS, factor),
        TableEntry(Operation.SATURATION, factor),
        TableEntry(Operation.CONTRAST, factor),
        TableEntry(Operation.SHARPNESS, factor),
        TableEntry(Operation.POSTERISE, bits),
        TableEntry(Operation.SOLARISE, 1.0),
        TableEntry(Operation.AUTOCONTRAST),
        TableEntry(Operation.EQUALISE),
    )
    return tuple(line for line in table if line.operation is None or fits(line.operation, channels))


def _transformed(
    table: Sequence[TableEntry], index: Tensor, u: Tensor, sign: Tensor, x: Tensor, generator: Generator
) -> Tensor:
    """Image b by line index[b] of the table with v = sign u r; index, u and sign (B,) on the CPU."""
    operations: list[tuple[Operation, float | None]] = []
    target, rows = [], []
    for line in table:
        target.append(IDENTITY if line.operation is None else len(operations))
        if line.operation is not None:
            transform = TRANSFORMS[line.operation]
            operations.append((line.operation, line.limit))
            rows.append((line.magnitude, transform.strength is Strength.BLEND, transform.signed))
    chosen = torch.tensor([*target, IDENTITY])[index]  # the last ones answer to index -1
    reach, blend, signed = torch.tensor([*rows, (0.0, False, False)], dtype=torch.float64)[chosen].unbind(-1)
    v = torch.where(blend > 0, 1.0, u * reach * torch.where(signed > 0, sign, 1.0))
    wide = torch.promote_types(x.dtype, torch.float32)
    return apply_mixed(operations, chosen, x, v.to(x.device, wide, non_blocking=True), generator)

"""Augmentation policies: one operation per image, drawn by weight."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Generator, Tensor

from spaces.tables import TableEntry, transformed
from spaces.transforms import IDENTITY, TRANSFORMS, Operation, Strength

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
            raise PydanticCustomError("weights", "the weights must sum to 1 at most, but got {total}", {
                "total": f"{total:.6g}",
                "hint": "a weight is the probability of an operation; what is missing to 1 leaves images as they are",
            })
        kinds = [(entry.operation.value, entry.magnitude, entry.limit) for entry in self.entries]
        twice = sorted({kind[0] for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise PydanticCustomError(
                "twice", "every operation may occur once per range, but got {twice} more than once with the same",
                {"twice": ", ".join(twice), "hint": "name it once, with the sum of the weights"},
            )
        return self

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Of the entries, in their order."""
        return tuple(entry.operation for entry in self.entries)

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
        return transformed(table, index, u, torch.where(s < 0.5, -1.0, 1.0), x, generator)

    def physical(self) -> dict[str, float]:
        """What is logged, in physical units: "policy/rotation/probability", "policy/rotation/range_deg".

        An operation with several ranges has the sum of its probabilities and the mean of its ranges by weight (plain
        where it is never drawn).
        """
        found: dict[str, float] = {}
        for operation in dict.fromkeys(entry.operation for entry in self.entries):
            mine = [entry for entry in self.entries if entry.operation is operation]
            transform, total = TRANSFORMS[operation], sum(entry.weight for entry in mine)
            found[f"policy/{operation}/probability"] = total
            if transform.strength is Strength.RANGE:
                shares = [entry.weight / total if total > 0 else 1 / len(mine) for entry in mine]
                reach = [e.magnitude * (transform.limit if e.limit is None else e.limit) for e in mine]
                unit = transform.unit.replace(" ", "_")
                found[f"policy/{operation}/range_{unit}"] = sum(s * r for s, r in zip(shares, reach, strict=True))
        return found

"""Tables of operations with their maxima, and a batch of images transformed by the lines that were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from spaces.transforms import IDENTITY, TRANSFORMS, Operation, Strength, apply_mixed


class TableEntry(NamedTuple):
    """One line of a table of operations: None is the identity; limit and magnitude as in `PolicyEntry`."""

    operation: Operation | None
    limit: float | None = None
    magnitude: float = 1.0


def transformed(
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

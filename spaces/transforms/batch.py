"""The checked entrances: one operation for a whole batch, or one of several for each image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from spaces.transforms.affine import AffineParameters, affine_matrix, warp
from spaces.transforms.geometric import FIELD, GEOMETRIC
from spaces.transforms.occlusion import cutout
from spaces.transforms.operation import Limit, Operation
from spaces.transforms.table import TRANSFORMS, fits

IDENTITY = -1  # the index of images that `apply_mixed` leaves alone


def apply(
    operation: Operation, x: Tensor, v: Tensor, limit: float | None = None, generator: Generator | None = None
) -> Tensor:
    """One operation on a batch, a strength for each image; differentiable in x and v.

    Args:
        x: images (B, C, H, W), floating point, in [0, 1].
        v: sign * m, (B,) floating point, in [-1, 1] if the operation is signed, else in [0, 1]. The range is
            not
            checked: that would stall an accelerator.
        limit: physical maximum at m = 1; the operation's default if None.
        generator: places the squares of cutout, uniformly; without it they are centred. Unused otherwise.

    Raises:
        ValueError: wrong type or shape, or an operation on colours for images that are not RGB.
    """
    _check(x, v, (operation,))
    wide = torch.promote_types(x.dtype, torch.float32)
    centre = None
    if operation is Operation.CUTOUT and generator is not None:
        centre = _centres(x, generator)
    with torch.autocast(x.device.type, enabled=False):
        return _one(operation, x.to(wide), v.to(wide), _limit(operation, limit), centre).to(x.dtype)


def apply_mixed(
    operations: Sequence[tuple[Operation, float | None]],
    index: Tensor,
    x: Tensor,
    v: Tensor,
    generator: Generator | None = None,
) -> Tensor:
    """Image b gets operations[index[b]] with strength v[b]; -1 returns the image bit for bit.

    One group of kernels per distinct operation present, and one warp for all geometric operations together.
    Differentiable in x and v. Reads `index` on the host: given on the CPU, nothing waits for the accelerator.

    Args:
        operations: (operation, physical limit or None for the default).
        index: (B,) int64, in [-1, len(operations)).
        x, v, generator: as in `apply`.

    Raises:
        ValueError: as `apply`, or an index out of range.
    """
    _check(x, v, [operation for operation, _ in operations])
    chosen = index.to("cpu")
    _check_index(chosen, len(operations), len(x))
    wide = torch.promote_types(x.dtype, torch.float32)
    image, v = x.to(wide), v.to(wide)
    placed = generator is not None and any(operation is Operation.CUTOUT for operation, _ in operations)
    # Drawn for all images, so that the stream does not depend on which of them are cut.
    centre = _centres(x, generator) if placed and generator is not None else None
    parts, order = [], []
    with torch.autocast(x.device.type, enabled=False):
        for operation, rows in _groups(operations, chosen):
            on_device = rows.to(x.device, non_blocking=True)
            part, strength = image.index_select(0, on_device), v.index_select(0, on_device)
            limits = _limits(operations, operation, chosen[rows]).to(x.device, wide, non_blocking=True)
            if operation in FIELD:
                part = _fused(part, strength, limits)
            elif operation is not None:
                middle = None if centre is None else centre.index_select(0, on_device)
                part = _one(operation, part, strength, limits[0], middle)
            parts.append(part)
            order.append(rows)
        back = torch.cat(order).argsort().to(x.device, non_blocking=True)
        return torch.cat(parts).index_select(0, back).to(x.dtype)


def _groups(
    operations: Sequence[tuple[Operation, float | None]], chosen: Tensor
) -> list[tuple[Operation | None, Tensor]]:
    """Rows of the batch by kernel: one group for the identity, one for the warp, one per other operation."""
    leaders = [GEOMETRIC[0] if operation in FIELD else operation for operation, _ in operations]
    names: list[Operation | None] = [*dict.fromkeys(leaders), None]
    code = torch.tensor([names.index(leader) for leader in [*leaders, None]])  # the last is for index -1
    group = code[chosen]
    rows = [(name, (group == k).nonzero()[:, 0]) for k, name in enumerate(names)]
    return [(name, members) for name, members in rows if len(members)]


def _limits(
    operations: Sequence[tuple[Operation, float | None]], leader: Operation | None, entry: Tensor
) -> Tensor:
    """Physical limit of each image's own entry: (6, n) by affine parameter for the warp, else (1, n)."""
    rows = GEOMETRIC if leader in FIELD else (leader,)
    table = [[_limit(name, limit) if name is row else 0.0 for name, limit in operations] for row in rows]
    return torch.tensor(table, dtype=torch.float64)[:, entry] if leader else torch.zeros(1, len(entry))


def _fused(x: Tensor, v: Tensor, limits: Tensor) -> Tensor:
    """One warp; of the six parameters (6, n) all but one are zero for each image."""
    parameters = AffineParameters(**dict(zip(FIELD.values(), limits * v, strict=True)))
    return warp(x, affine_matrix(parameters, x.shape[-2], x.shape[-1]))


def _one(operation: Operation, x: Tensor, v: Tensor, limit: Limit, centre: Tensor | None) -> Tensor:
    if operation is Operation.CUTOUT:
        return cutout(x, v, limit, centre)
    return TRANSFORMS[operation].apply(x, v, limit)


def _limit(operation: Operation, limit: float | None) -> float:
    return TRANSFORMS[operation].limit if limit is None else limit


def _centres(x: Tensor, generator: Generator) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    uniform = torch.rand(len(x), 2, generator=generator, device=generator.device)
    return uniform.to(x.device, wide, non_blocking=True)


def _check(x: Tensor, v: Tensor, operations: Sequence[Operation]) -> None:
    """Types and shapes only: looking at values would stall an accelerator."""
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"images must be floating point (B, C, H, W) in [0, 1], but got {x.dtype} {tuple(x.shape)}; "
            "divide integer images by 255"
        )
    if v.shape != x.shape[:1] or not v.is_floating_point():
        raise ValueError(
            f"strengths must be floating point ({len(x)},), one per image, but got {v.dtype} {tuple(v.shape)}"
        )
    unfit = [operation.value for operation in dict.fromkeys(operations) if not fits(operation, x.shape[1])]
    if unfit:
        raise ValueError(
            f"{', '.join(unfit)} needs images with 3 channels, but got {x.shape[1]}; "
            "leave it out for these images (`fits` tells which operations to keep)"
        )


def _check_index(chosen: Tensor, count: int, images: int) -> None:
    if chosen.shape != (images,) or chosen.dtype != torch.int64:
        raise ValueError(f"the index must be int64 ({images},), but got {chosen.dtype} {tuple(chosen.shape)}")
    if images and (int(chosen.min()) < IDENTITY or int(chosen.max()) >= count):
        raise ValueError(
            f"the index must lie in [-1, {count - 1}] for {count} operations, "
            f"but got {int(chosen.min())} to {int(chosen.max())}"
        )

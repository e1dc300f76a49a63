"""Policies without a search: TrivialAugment and RandAugment, with the published tables of operations."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Generator, Tensor

from spaces.tables import TableEntry, transformed
from spaces.transforms import Operation, fits

BINS = 31  # strengths of TrivialAugment and RandAugment
RAND_AUGMENT_SHIFT = 150 / 331  # of the side; the pixels of AutoAugment's ImageNet crops


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
    return transformed(table, index, strength, sign, x, generator)


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


def rand_augment(
    x: Tensor, generator: Generator, table: Sequence[TableEntry], operations: int, magnitude: int
) -> Tensor:
    """RandAugment (Cubuk et al. 2020): `operations` drawn with replacement per image, all at one strength.

    Signs are random where the operation has one. Deviations from torchvision's `RandAugment` as for `trivial_augment`.

    Args:
        table: as `rand_augment_table`.
        operations: N >= 0, one after the other.
        magnitude: M in 0..30; 0 is the identity but for operations that have no strength.

    Raises:
        ValueError: the table is empty, N or M is out of range, or an operation on colours meets images without.
    """
    if not table or operations < 0 or not 0 <= magnitude < BINS:
        raise ValueError(
            f"the table must have operations, N be 0 at least and M lie in 0..{BINS - 1}, but got {len(table)}, "
            f"{operations} and {magnitude}"
        )
    where, size = generator.device, (len(x),)
    strength = torch.full(size, magnitude / (BINS - 1))
    for _ in range(operations):
        index = torch.randint(len(table), size, generator=generator, device=where).cpu()
        sign = torch.randint(2, size, generator=generator, device=where).cpu() * 2.0 - 1.0
        x = transformed(table, index, strength, sign, x, generator)
    return x


def rand_augment_table(channels: int) -> tuple[TableEntry, ...]:
    """RandAugment's 14 operations with torchvision's maxima; 13 for images without colours."""
    table = trivial_augment_table(channels, 1, 1, TrivialAugmentSpace.RA)
    shifts = (Operation.TRANSLATE_X, Operation.TRANSLATE_Y)
    return tuple(
        line._replace(limit=RAND_AUGMENT_SHIFT) if line.operation in shifts else line for line in table
    )

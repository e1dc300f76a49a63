"""TrivialAugment and RandAugment against torchvision's tables, and what they draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close
from torchvision.transforms import v2

from spaces.search_free import (
    TrivialAugmentSpace,
    rand_augment,
    rand_augment_table,
    trivial_augment,
    trivial_augment_table,
)
from spaces.tables import TableEntry
from spaces.transforms import TRANSFORMS, Operation
from tests.spaces.draws import frequencies_fit
from tests.spaces.transform_laws import smooth_image

TORCHVISION = {
    "ShearX": Operation.SHEAR_X, "ShearY": Operation.SHEAR_Y, "TranslateX": Operation.TRANSLATE_X,
    "TranslateY": Operation.TRANSLATE_Y, "Rotate": Operation.ROTATION, "Brightness": Operation.BRIGHTNESS,
    "Color": Operation.SATURATION, "Contrast": Operation.CONTRAST, "Sharpness": Operation.SHARPNESS,
    "Posterize": Operation.POSTERISE, "Solarize": Operation.SOLARISE, "AutoContrast": Operation.AUTOCONTRAST,
    "Equalize": Operation.EQUALISE, "Identity": None,
}  # fmt: skip


def physical_bins(line: TableEntry, height: int, width: int) -> Tensor | None:
    """Our 31 strengths in torchvision's units: pixels, bits, thresholds, factors minus one."""
    if line.operation is None or line.limit is None:
        return None
    value = torch.arange(31) / 30 * line.limit
    units = {
        Operation.TRANSLATE_X: lambda: value * width,
        Operation.TRANSLATE_Y: lambda: value * height,
        Operation.POSTERISE: lambda: (8 - value).round(),
        Operation.SOLARISE: lambda: 1 - value,
    }
    return units.get(line.operation, lambda: value)()


@pytest.mark.parametrize(("reference", "make"), [
    (v2.TrivialAugmentWide, lambda height, width: trivial_augment_table(3, height, width)),
    (v2.RandAugment, lambda height, width: rand_augment_table(3)),
], ids=["trivial_augment", "rand_augment"])
def test_tables_equal_torchvision(reference: Any, make: Callable[[int, int], tuple[TableEntry, ...]]) -> None:
    height, width = 40, 28
    theirs = reference()._AUGMENTATION_SPACE
    table = {line.operation: line for line in make(height, width)}
    assert set(table) == {TORCHVISION[name] for name in theirs}
    for name, (bins, signed) in theirs.items():
        line, expected = table[TORCHVISION[name]], bins(31, height, width)
        found = physical_bins(line, height, width)
        if expected is None:
            assert found is None
            continue
        assert found is not None
        assert_close(found, expected.to(found.dtype), rtol=0, atol=1e-5)
        assert line.operation is not None
        assert TRANSFORMS[line.operation].signed is signed


def test_other_tables() -> None:
    narrow = {line.operation: line.limit for line in trivial_augment_table(3, 32, 40, TrivialAugmentSpace.RA)}
    assert (narrow[Operation.TRANSLATE_X], narrow[Operation.TRANSLATE_Y]) == (10 / 40, 10 / 32)
    assert narrow[Operation.ROTATION] == 30
    lines = trivial_augment_table(3, 28, 100, TrivialAugmentSpace.CAPPED)
    capped = {line.operation: line.limit for line in lines}
    assert (capped[Operation.TRANSLATE_X], capped[Operation.TRANSLATE_Y]) == (0.32, 0.45)
    grey = [line.operation for line in trivial_augment_table(1, 28, 28)]
    assert len(grey) == 13
    assert Operation.SATURATION not in grey


def test_trivial_augment_draws_uniformly(drawn: dict[str, Tensor]) -> None:
    table = trivial_augment_table(3, 18, 22)
    x = torch.zeros(31 * 14 * 20, 3, 1, 1)
    trivial_augment(x, Generator().manual_seed(0), table)
    index, v = drawn["index"], drawn["v"]
    assert frequencies_fit((index + 1).bincount(minlength=14), torch.ones(14))
    operations = [line.operation for line in table if line.operation is not None]
    signed = torch.tensor([*(TRANSFORMS[o].signed for o in operations), False])[index]
    steps = (Operation.SOLARISE, Operation.POSTERISE)
    ranged = signed | torch.tensor([*(o in steps for o in operations), False])[index]
    bins = (v[ranged].abs() * 30).round().long()
    assert_close(bins / 30, v[ranged].abs().float(), rtol=0, atol=1e-6)
    assert frequencies_fit(bins.bincount(minlength=31), torch.ones(31))
    positive = (v[signed & (v != 0)] > 0).long()
    assert frequencies_fit(positive.bincount(minlength=2), torch.ones(2))
    assert (v[~signed] >= 0).all()
    assert (v[~ranged & (index >= 0)] == 1).all()
    # A table with one line twice is not uniform over operations: the check can tell.
    trivial_augment(x, Generator().manual_seed(0), (*table, table[1]))
    drawn_twice = torch.where(drawn["index"] == 13, 0, drawn["index"])
    assert not frequencies_fit((drawn_twice + 1).bincount(minlength=14), torch.ones(14))


def test_trivial_augment_acts_on_grey_images_of_any_size() -> None:
    for side in (8, 28):
        x = smooth_image(200, 1, side, side)
        y = trivial_augment(x, Generator().manual_seed(0), trivial_augment_table(1, side, side))
        changed = (y != x).flatten(1).any(1).float().mean()
        # 12 of 13 operations change an image, 10 of them not at the lowest strengths: 0.90 +- 5 deviations.
        assert 0.79 < changed < 1.0


def test_empty_table_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one operation"):
        trivial_augment(smooth_image(1), Generator(), ())


def test_rand_augment_leaves_colours_out_on_grey_images() -> None:
    assert Operation.SATURATION in [line.operation for line in rand_augment_table(3)]
    assert Operation.SATURATION not in [line.operation for line in rand_augment_table(1)]


def test_rand_augment_draws_uniformly_at_one_strength(drawn: dict[str, Tensor]) -> None:
    table = rand_augment_table(3)
    rand_augment(torch.zeros(14 * 300, 3, 1, 1), Generator().manual_seed(0), table, 1, 12)
    index, v = drawn["index"], drawn["v"]
    assert frequencies_fit((index + 1).bincount(minlength=14), torch.ones(14))
    operations = [line.operation for line in table if line.operation is not None]
    blends = torch.tensor([*(o in (Operation.AUTOCONTRAST, Operation.EQUALISE) for o in operations), False])[index]
    ranged = ~blends & (index >= 0)
    assert_close(v[ranged].abs().float(), torch.full((int(ranged.sum()),), 0.4))
    assert (v[blends] == 1).all()


def test_rand_augment_applies_so_many_operations_one_after_the_other() -> None:
    """One flip per operation: an even number restores the image, an odd one mirrors it."""
    x, table = smooth_image(8), (TableEntry(Operation.FLIP_HORIZONTAL),)
    for count in range(4):
        y = rand_augment(x, Generator().manual_seed(0), table, count, 30)
        assert torch.equal(y, x if count % 2 == 0 else x.flip(-1))


@pytest.mark.parametrize(("operations", "magnitude", "lines"), [(-1, 9, 1), (2, 31, 1), (2, -1, 1), (2, 9, 0)])
def test_rand_augment_refuses_what_is_out_of_range(operations: int, magnitude: int, lines: int) -> None:
    with pytest.raises(ValueError, match="N be 0 at least and M lie in"):
        rand_augment(smooth_image(1), Generator(), (TableEntry(None),) * lines, operations, magnitude)

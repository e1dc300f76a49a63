"""Families of transformations: identities, sharing, corners, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from spaces.descriptors import OPERATIONS, Factor, Family, share_parameters, standard_family
from spaces.transforms import Operation, apply

GREY, COLOUR = standard_family(1), standard_family(3)


def images(channels: int, count: int = 6, side: int = 12) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=Generator().manual_seed(1))


@pytest.mark.parametrize(("family", "channels", "factors"), [(GREY, 1, 7), (COLOUR, 3, 8)])
def test_theta_zero_changes_no_bit(family: Family, channels: int, factors: int) -> None:
    x = images(channels)
    assert len(family.factors) == factors and family.fits(channels)
    assert torch.equal(family.apply(x, torch.zeros(len(x), len(family.operations))), x)


@pytest.mark.parametrize("operation", COLOUR.operations)
def test_one_parameter_is_the_house_operation_at_its_limit(operation: Operation) -> None:
    x, v = images(3), torch.linspace(-1, 1, 6)
    theta = torch.zeros(6, len(COLOUR.operations))
    theta[:, COLOUR.operations.index(operation)] = v
    signed = v.abs() if operation is Operation.GAUSSIAN_BLUR else v
    expected = apply(operation, x, signed, limit=COLOUR.limit(operation))
    assert torch.allclose(COLOUR.apply(x, theta), expected, atol=1e-6)
    assert (COLOUR.apply(x, theta)[0] - x[0]).abs().max() > 1e-3  # negative control: it does something


def test_every_parameter_has_one_owner() -> None:
    for k, factor in enumerate(COLOUR.factors):
        owned = [o for o, owner in zip(COLOUR.operations, COLOUR.owners, strict=True) if owner == k]
        assert tuple(owned) == OPERATIONS[factor]
    descriptor = torch.rand(3, 8, generator=Generator().manual_seed(0))
    spread = COLOUR.spread(descriptor)
    assert spread.shape == (3, len(COLOUR.operations))
    assert torch.equal(spread[:, 1], spread[:, 2]) and torch.equal(spread[:, 1], descriptor[:, 1])


def test_what_can_be_seen_of_theta_tells_views_apart_exactly_where_they_differ() -> None:
    family, generator = standard_family(1), Generator().manual_seed(0)
    x, theta = torch.rand(1, 1, 12, 12, generator=generator), family.draw(1, generator)
    for column, operation in enumerate(family.operations):
        mirrored = theta.clone()
        mirrored[:, column] *= -1
        alike = torch.equal(family.apply(x, theta), family.apply(x, mirrored))
        assert alike == torch.equal(family.effective(theta), family.effective(mirrored)), operation
        assert alike == (operation is Operation.GAUSSIAN_BLUR)
    ends = family.effective(torch.tensor([[0.0], [1.0], [-1.0]]).expand(3, len(family.operations)))
    assert float(ends.min()) == -1.0 and float(ends.max()) == 1.0


def test_sharing_is_the_same_value_when_off_and_an_independent_one_when_on() -> None:
    generator = Generator().manual_seed(2)
    first, fresh = GREY.draw(2000, generator), GREY.draw(2000, generator)
    assert torch.equal(share_parameters(first, fresh, torch.zeros(1)), first)
    assert torch.allclose(share_parameters(first, fresh, torch.ones(1)), fresh)
    half = share_parameters(first, fresh, torch.full((1,), 0.5))
    correlation = torch.corrcoef(torch.stack((first[:, 0], half[:, 0])))[0, 1]
    assert abs(float(correlation) - 0.5**0.5) < 0.05  # 5 standard errors
    assert float(first.abs().max()) <= 1 and abs(float(first.mean())) < 0.02


def test_corners_are_all_of_them_once_off_first_and_on_last() -> None:
    corners = GREY.corners()
    assert corners.shape == (128, 7) and len({tuple(row) for row in corners.tolist()}) == 128
    assert float(corners[0].sum()) == 0 and float(corners[-1].sum()) == 7


def test_names_and_values_make_a_trip_through_a_descriptor() -> None:
    descriptor = GREY.descriptor({"rotation": 0.25, "blur": 1.0})
    assert GREY.named(descriptor) == dict.fromkeys((f.value for f in GREY.factors), 0.0) | {"rotation": 0.25, "blur": 1}
    assert torch.equal(GREY.descriptor(list(GREY.named(descriptor).values())), descriptor)
    assert GREY.space.contains(GREY.named(descriptor))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entries", "word"),
    [({"rotation": 1.5}, "rotation"), ({"hue": 0.5}, "hue"), ([0.5] * 6, "7 entries"), ([float("nan")] * 7, "0, 1")],
)
def test_wrong_descriptors_are_refused(entries: object, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        GREY.descriptor(entries)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"factors": ["rotation", "rotation"]}, "once"),
        ({"factors": ["rotation"], "limits": {"hue": 0.1}}, "of the factors"),
        ({"factors": ["rotation"], "limits": {"rotation": -1}}, "positive"),
        ({"factors": []}, "at least 1"),
    ],
)
def test_wrong_families_are_refused(fields: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Family.model_validate(fields)


def test_colour_does_not_fit_grey_images() -> None:
    assert not Family(factors=(Factor.COLOUR,)).fits(1)

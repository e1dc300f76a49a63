"""Views: what a descriptor ties together, and how descriptors are drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from spaces.descriptors import standard_family
from trainables.modules.views import (
    NOISE,
    Pairing,
    Views,
    draw_descriptors,
    draw_looks,
    draw_views,
    pixel_noise,
    render,
)

FAMILY = standard_family(1)
FACTORS, PARAMETERS = len(FAMILY.factors), len(FAMILY.operations)
EVEN = torch.ones(FACTORS)


def views(descriptors: Tensor, pairing: Pairing, images: int = 64, emphasis: Tensor = EVEN) -> Views:
    return draw_views(FAMILY, descriptors, images, pairing, emphasis, Generator().manual_seed(5))


@pytest.mark.parametrize("pairing", Pairing)
def test_off_ties_the_pair_and_on_frees_it(pairing: Pairing) -> None:
    first, second, _ = views(torch.tensor([[0.0] * 7, [1.0] * 7]), pairing, 2000).theta
    assert torch.equal(first[0], second[0])
    assert bool((first[0] == 0).all()) == (pairing is Pairing.OMIT)
    free = torch.corrcoef(torch.stack((first[1, :, 0], second[1, :, 0])))[0, 1]
    assert abs(float(free)) < 0.1  # 4.5 standard errors
    assert first[1].std() > 0.5


def test_one_entry_ties_its_own_parameters_only() -> None:
    descriptor = torch.ones(1, FACTORS)
    descriptor[0, 1] = 0.0  # translation
    first, second, _ = views(descriptor, Pairing.SHARE).theta
    same = (first == second)[0].all(0)
    assert same.tolist() == [owner == 1 for owner in FAMILY.owners]


@pytest.mark.parametrize("pairing", Pairing)
def test_the_third_view_differs_from_the_first_in_one_factor(pairing: Pairing) -> None:
    drawn = views(torch.rand(4, FACTORS, generator=Generator().manual_seed(1)), pairing)
    owners = torch.tensor(FAMILY.owners)
    moved = drawn.theta[2] != drawn.theta[0]  # (G, n, P)
    assert torch.equal(moved, (owners == drawn.factor[:, None])[:, None].expand_as(moved))
    visible = FAMILY.effective(drawn.theta)
    change = (visible[2] - visible[0]).abs().sum(-1) / moved.sum(-1)
    assert torch.allclose(drawn.change, change) and float(drawn.change.max()) <= 2


def test_emphasis_says_how_often_a_factor_is_the_one() -> None:
    emphasis = EVEN.clone()
    emphasis[3], emphasis[0] = 3.0, 0.0
    factor = views(torch.zeros(4000, FACTORS), Pairing.SHARE, 1, emphasis).factor
    shares = torch.bincount(factor, minlength=FACTORS) / len(factor)
    assert shares[0] == 0 and abs(float(shares[3]) - 3 / 8) < 0.04  # 5 standard errors


def test_rendering_applies_every_groups_own_parameters() -> None:
    generator = Generator().manual_seed(0)
    x = torch.rand(2, 3, 1, 8, 8, generator=generator)
    theta = views(torch.rand(2, FACTORS, generator=generator), Pairing.SHARE, 3).theta
    noise = pixel_noise(3, x, Generator().manual_seed(9))
    seen = render(FAMILY, x, theta, noise).view(2, 3, 3, 1, 8, 8)
    for group in range(2):
        for view in range(3):
            clean = FAMILY.apply(x[group], theta[view, group])
            error = (seen[group, view] - clean).std()
            assert abs(float(error) - NOISE) < 0.02
            wrong = (seen[group, view] - FAMILY.apply(x[1 - group], theta[view, group])).std()
            assert float(wrong) > 2 * NOISE  # negative control


def test_descriptors_come_from_corners_the_cube_and_the_ends() -> None:
    drawn = draw_descriptors(4000, FACTORS, 0.0, Generator().manual_seed(3))
    corners = ((drawn == 0) | (drawn == 1)).all(1)
    assert abs(float(corners.float().mean()) - 0.7) < 0.04  # 5 standard errors
    assert float(drawn.min()) >= 0 and float(drawn.max()) <= 1
    on = drawn.sum(1)[corners]
    for count in (0, 1, FACTORS - 1, FACTORS):  # 0.075 each, beside what the corners bring
        assert float((on == count).sum()) / len(drawn) > 0.06  # 3.5 standard errors
    assert torch.equal(drawn, draw_descriptors(4000, FACTORS, 0.0, Generator().manual_seed(3)))
    more = draw_descriptors(4000, FACTORS, 0.4, Generator().manual_seed(3))
    replaced = (more != drawn).any(1)
    assert bool((more[replaced] == 1).all())
    # 0.4 of those that were not all on already (0.08); 5 standard errors
    assert abs(float(replaced.float().mean()) - 0.4 * 0.92) < 0.04


def test_paired_looks_agree_in_the_own_entry_alone() -> None:
    factor = torch.randint(FACTORS, (1000,), generator=Generator().manual_seed(0))
    looks = draw_looks(4, factor, FACTORS, Generator().manual_seed(1), paired=True)
    own = torch.nn.functional.one_hot(factor, FACTORS).bool()
    assert torch.equal(looks[:2, own], looks[2:, own]) and not torch.equal(looks[0, own], looks[1, own])
    assert float((looks[:2, ~own] == looks[2:, ~own]).float().mean()) < 0.4  # two of 16 pairs of kinds, and corners
    alone = draw_looks(4, factor, FACTORS, Generator().manual_seed(1))
    assert not torch.equal(alone[:2, own], alone[2:, own])


def test_looks_move_the_groups_own_factor_whatever_the_others_are() -> None:
    factor = torch.randint(FACTORS, (1000,), generator=Generator().manual_seed(0))
    looks = draw_looks(4, factor, FACTORS, Generator().manual_seed(1))
    assert looks.shape == (4, 1000, FACTORS) and float(looks.min()) >= 0 and float(looks.max()) <= 1
    own = looks.gather(2, factor[None, :, None].expand(4, -1, 1))[..., 0]
    others = looks.flatten(0, 1)[torch.arange(FACTORS) != factor.repeat(4)[:, None]].view(4000, -1)
    for end in (0.0, 1.0):
        kept, alike = own.flatten() == end, (others == end).all(1)
        for share in (kept, alike):  # a quarter each, and 2^-8 of corners
            assert abs(float(share.float().mean()) - 0.25) < 0.04  # 5 standard errors
        assert abs(float((kept & alike).float().mean()) - 1 / 16) < 0.02  # 5 standard errors: independent

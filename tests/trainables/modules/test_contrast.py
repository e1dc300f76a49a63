"""The losses of pre-training against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from trainables.modules.contrast import (
    READER_PENALTY,
    calibration,
    centred_cosine,
    info_nce,
    leakage,
    readable,
    sensitivity,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed)).double()


def test_info_nce_of_a_perfect_pair_and_of_no_information() -> None:
    basis = torch.eye(8).double()[None]
    others = 7 * math.exp(-1 / 0.1)
    assert float(info_nce(basis, basis, 0.1)) == pytest.approx(math.log1p(others))
    constant = torch.ones(1, 8, 4).double()
    assert float(info_nce(constant, constant, 0.1)) == pytest.approx(math.log(8))


def test_info_nce_is_a_loop_over_groups_and_images() -> None:
    first, second = draw(3, 5, 4), draw(3, 5, 4, seed=1)
    terms = []
    for a, b in zip(first, second, strict=True):
        for one, other in ((a, b), (b, a)):
            for j in range(5):
                cosines = torch.stack([torch.cosine_similarity(one[j], other[k], dim=0) for k in range(5)]) / 0.2
                terms.append(cosines.logsumexp(0) - cosines[j])
    assert float(info_nce(first, second, 0.2)) == pytest.approx(float(torch.stack(terms).mean()))


def test_negatives_come_from_the_own_group_only() -> None:
    first, second = draw(2, 5, 4), draw(2, 5, 4, seed=1)
    alone = info_nce(first[:1], second[:1], 0.2)
    moved = torch.cat((first[:1], draw(1, 5, 4, seed=7))), torch.cat((second[:1], draw(1, 5, 4, seed=8)))
    other = info_nce(moved[0][1:], moved[1][1:], 0.2)
    assert float(info_nce(*moved, 0.2)) == pytest.approx(float(alone + other) / 2)


def test_the_centred_cosine_does_not_see_what_all_images_share() -> None:
    first, second = draw(2, 6, 4), draw(2, 6, 4, seed=1)
    offset = 100.0 * draw(1, 1, 4, seed=2)
    assert torch.allclose(centred_cosine(first + offset, second + offset), centred_cosine(first, second))
    assert torch.allclose(centred_cosine(first, first), torch.ones(2, 6).double())
    raw = torch.cosine_similarity(first + offset, second + offset, dim=-1)
    assert float(raw.min()) > 0.99  # negative control: without centring everything looks alike


@pytest.mark.parametrize(("entry", "change", "wanted"), [
    (1.0, 2.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.5, math.exp(-1.0)), (0.5, 0.5, 0.5 + 0.5 * math.exp(-1.0)),
])
def test_calibration_is_zero_where_the_similarity_is_what_the_entry_asks_for(
    entry: float, change: float, wanted: float
) -> None:
    numbers = (torch.full((2, 3), value).double() for value in (wanted, entry, change))
    assert float(calibration(*numbers)) == pytest.approx(0.0, abs=1e-12)
    numbers = (torch.full((2, 3), value).double() for value in (wanted - 0.2, entry, change))
    assert float(calibration(*numbers)) == pytest.approx(0.04)


def test_leakage_compares_means_over_images() -> None:
    one = draw(3, 4, 10)
    order = torch.randperm(10, generator=Generator().manual_seed(0))
    assert float(leakage(one, one[..., order])) == pytest.approx(0.0, abs=1e-12)
    assert float(leakage(one, one + 0.3)) == pytest.approx(0.09)
    halves = one.clone()
    halves[0] += 0.3  # one of three groups
    assert float(leakage(one, halves)) == pytest.approx(0.03)


def test_what_is_to_be_ignored_need_not_be_read() -> None:
    read, theta = draw(2, 3, 4), draw(2, 3, 4, seed=1)
    share = torch.zeros(2, 1, 4).double()
    share[..., 0] = 1.0
    expected = (read - theta)[..., 1:].square().sum() / read.numel()
    assert float(sensitivity(read, theta, share)) == pytest.approx(float(expected))
    assert float(sensitivity(read, theta, torch.ones(2, 1, 4).double())) == 0.0


def refitted(features: Tensor, theta: Tensor, views: int) -> Tensor:
    """(P,) R^2 of ridge readers of one group, fitted anew without all rows of each image."""
    rows, width = features.shape
    z = features - features.mean(0)
    penalty = READER_PENALTY * z.square().sum(-1).mean()
    errors = []
    for j in range(rows // views):
        left = torch.arange(rows) % (rows // views) == j
        # The penalty, as in the closed form, is on deviations from the mean of what the reader is fitted to.
        inside, outside = features[~left], theta[~left]
        a, b = inside - inside.mean(0), outside - outside.mean(0)
        weight = torch.linalg.solve(a.mT @ a + penalty * torch.eye(width), a.mT @ b)
        errors.append((theta[left] - outside.mean(0) - (features[left] - inside.mean(0)) @ weight).square())
    spread = (theta - theta.mean(0)).square().mean(0)
    return (1 - torch.cat(errors).mean(0) / spread).clamp_min(0)


def twins(groups: int, images: int, width: int) -> tuple[Tensor, Tensor]:
    """Three views of which first and third look the same, and a parameter that they share and that was never applied.

    (G, 3 n, D) and (G, 3 n, 1).
    """
    image, noise = draw(groups, images, width), draw(groups, 3 * images, width, seed=1)
    look = 0.5 * draw(2, groups, images, width, seed=2)
    first, second = draw(2, groups, images, 1, seed=3)
    seen = image.repeat(1, 3, 1) + torch.cat((look[0], look[1], look[0]), 1) + 0.05 * noise
    return seen, torch.cat((first, second, first), 1)


@pytest.mark.parametrize("views", [1, 3])
def test_what_is_readable_is_the_r_squared_of_readers_refitted_without_each_image(views: int) -> None:
    features, shared = twins(2, 12, 5)
    theta = draw(2, 36, 3, seed=1)
    theta[..., 0] = features[..., 1] + 0.1 * theta[..., 0]  # the others are noise, one of it shared by two views
    theta[..., 1:2] = shared
    share = torch.tensor([[[1.0, 0.5, 0.0]], [[0.3, 1.0, 1.0]]]).double()
    wanted = torch.stack([refitted(x, y, views) for x, y in zip(features, theta, strict=True)])[:, None]
    assert float(wanted[:, 0, 0].min()) > 0.9
    assert float(readable(features, theta, share, views)) == pytest.approx(float((share * wanted).mean()))


def test_a_parameter_that_was_never_applied_is_not_read_off_a_twin() -> None:
    """With single rows left out the first view's parameter is told by the third's, which looks the same."""
    features, theta = twins(8, 32, 128)
    on = torch.ones(8, 1, 1).double()
    assert float(readable(features, theta, on, 3)) < 0.01
    assert float(readable(features, theta, on)) > 0.2


def test_only_what_is_ignored_has_to_be_unreadable_however_small_it_is() -> None:
    theta, on = draw(1, 96, 2), torch.ones(1, 1, 2).double()
    features = torch.cat((draw(1, 96, 6, seed=1), 0.3 * theta), -1)
    assert float(readable(features, theta, on)) > 0.6
    assert float(readable(features, theta, 0 * on)) == 0.0
    assert float(readable(features[..., :6], theta, on)) < 0.05
    still = torch.cat((theta[..., :1], torch.zeros_like(theta[..., :1])), -1)
    one = float(readable(features, theta[..., :1], on[..., :1]))
    assert float(readable(features, still, on)) == pytest.approx(one / 2)
    assert float(readable(1e-3 * features, theta, on)) == pytest.approx(float(readable(features, theta, on)))

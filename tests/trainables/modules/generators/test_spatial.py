"""Warps that may have been: planted turns are found, whole and partial ones, and upright images stay upright."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor, nn

from spaces.transforms import Operation, apply
from tracking.cost import Meter
from trainables.maker import MakerContext
from trainables.makers.spatial_generator import Config
from trainables.modules.generators.spatial import (
    CAPS,
    Redraws,
    WarpNetwork,
    alone,
    frames,
    half_width,
    jittered,
    nucleus,
    seen,
    strengths_at,
    uniform,
)
from trainables.modules.generators.spatial_training import moved
from trainables.modules.generators.transfer import load_transfer

HORIZON, BINS = 500, 36
CPU = torch.device("cpu")


class Letters:
    """L, T and F, bright on black, 16 x 16: turned by up to a half-width. Slightly noisy."""

    transform_bank = ()
    shape = (1, 16, 16)

    def __init__(self, degrees: float) -> None:
        self._degrees = degrees

    def size(self) -> int:
        return 1000

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        letters = torch.zeros(3, *self.shape)
        letters[0, :, 3:13, 5:7], letters[0, :, 11:13, 5:12] = 1.0, 1.0
        letters[1, :, 3:13, 7:9], letters[1, :, 3:5, 4:12] = 1.0, 1.0
        letters[2, :, 3:13, 5:7], letters[2, :, 3:5, 5:12], letters[2, :, 7:9, 5:10] = 1.0, 1.0, 1.0
        x = letters[torch.randint(3, (size,), generator=generator)]
        if self._degrees:
            x = apply(Operation.ROTATION, x, 2 * torch.rand(size, generator=generator) - 1, limit=self._degrees)
        return (x + 0.02 * torch.rand(x.shape, generator=generator)).clamp(0, 1)

    balanced = unlabelled


@cache
def made(degrees: float, seed: int = 0) -> dict[str, Any]:
    config = Config(horizon=HORIZON, bins=BINS)
    maker = config.build(MakerContext(
        problem=Letters(degrees), horizon=HORIZON, slice_updates=HORIZON, seed=seed, device=CPU, meter=Meter("cpu"),
    ))
    maker.step()
    return maker.result()


def turns(x: Tensor) -> Tensor:
    """By how many degrees a letter F of `Letters` is turned: the best of all whole degrees, by squared distance."""
    upright = torch.zeros(1, *Letters.shape)
    upright[0, :, 3:13, 5:7], upright[0, :, 3:5, 5:12], upright[0, :, 7:9, 5:10] = 1.0, 1.0, 1.0
    degrees = torch.arange(-180.0, 180.0)
    templates = apply(Operation.ROTATION, upright.expand(360, -1, -1, -1), degrees / 180, limit=180.0).flatten(1)
    return degrees[torch.cdist(x.flatten(1), templates).argmin(1)]


def drawn(state: dict[str, Any], x: Tensor) -> Tensor:
    return load_transfer(state, Letters.shape, CPU).sample(x, Generator().manual_seed(0))


def letters_f(degrees: Tensor) -> Tensor:
    upright = torch.zeros(len(degrees), *Letters.shape)
    upright[:, :, 3:13, 5:7], upright[:, :, 3:5, 5:12], upright[:, :, 7:9, 5:10] = 1.0, 1.0, 1.0
    return apply(Operation.ROTATION, upright, degrees / 180, limit=180.0)


@pytest.mark.parametrize(("planted", "low", "high"), [(180.0, 150.0, 180.0), (40.0, 30.0, 60.0), (0.0, 0.0, 15.0)])
def test_a_turn_of_the_data_is_found_and_nothing_else(planted: float, low: float, high: float) -> None:
    state = made(planted)
    found = state["widths"]
    assert low <= found["rotation"] <= high
    assert max(found["translate_x"], found["translate_y"]) < 0.1
    assert found["scale"] < 0.2 and found["shear_x"] < 0.4  # two bins are .04; both are hard to tell in such letters
    assert (load_transfer(state, Letters.shape, CPU).collapsed() is None) is (planted > 0)


def test_draws_of_a_letter_are_turned_as_the_data_are() -> None:
    """By up to 40 degrees, whatever the letter's own turn; a generator of any turn does not pass, nor does none."""
    own = torch.linspace(-38, 38, 200)
    x = letters_f(own)
    after = turns(drawn(made(40.0), x))
    assert (after.abs() <= 50).float().mean() > 0.95
    assert 15 < after.abs().median() < 25, "uniform up to 40 has 20"
    assert abs(float(torch.corrcoef(torch.stack((own, after)))[0, 1])) < 0.35, "a new draw, not the letter's own turn"
    anyhow = turns(drawn(made(180.0), x))
    assert (anyhow.abs() <= 50).float().mean() < 0.5 and kstest(anyhow / 180, "uniform", (-1, 2)).statistic < 0.15
    still = turns(drawn(made(0.0), letters_f(torch.zeros(200))))
    assert (still.abs() <= 15).float().mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_it_is_found_from_other_seeds_too(seed: int) -> None:
    assert made(180.0, seed)["widths"]["rotation"] > 150
    assert 30 < made(40.0, seed)["widths"]["rotation"] < 60
    assert made(0.0, seed)["widths"]["rotation"] < 15


class Sure(nn.Module):
    """Says of every image that the strengths are in these bins, whatever it sees."""

    bins = BINS

    def __init__(self, places: dict[int, int]) -> None:
        super().__init__()
        self._odds = torch.zeros(len(CAPS), BINS)
        for place in range(len(CAPS)):
            self._odds[place, places.get(place, BINS // 2)] = 100.0

    def forward(self, x: Tensor) -> Tensor:
        return self._odds.expand(len(x), -1, -1)


def smooth(count: int) -> Tensor:
    """Images that resampling hardly changes: noise of a few pixels' width, 28 x 28."""
    noise = torch.rand(count, 1, 44, 44, generator=Generator().manual_seed(0))
    return nn.functional.avg_pool2d(nn.functional.avg_pool2d(noise, 9, 1), 9, 1)


@pytest.mark.parametrize("place", range(len(CAPS)))
def test_a_draw_is_undone(place: int) -> None:
    """Of an image that was moved by the middle of a bin: what comes back is the image, as far as resampling allows."""
    x = smooth(4)
    share = torch.full((4,), (2 * 20 + 1) / BINS - 1)
    operation, cap = list(CAPS.items())[place]
    turned = apply(operation, x, share, limit=cap)
    u = torch.full((4, len(CAPS)), 0.5)
    u[:, [k for k in range(len(CAPS)) if k != place]] = 0.0  # the lower end of the middle bin is 0
    back, _ = Redraws(Sure({place: 20}), 1.0)(turned, torch.zeros(4, len(CAPS)), u)  # type: ignore[arg-type]
    inside = (..., slice(6, 22), slice(6, 22))
    assert (back - x)[inside].abs().max() < 0.005 < (turned - x)[inside].abs().max()


def test_images_are_moved_by_what_their_bins_say() -> None:
    x = torch.rand(5, 1, 12, 12, generator=Generator().manual_seed(0))
    share = torch.tensor([-1.0, -0.51, 0.0, 0.3, 0.999])
    case = moved(x, torch.zeros(5, len(CAPS)), torch.arange(5), share, bins=4)
    assert case.bin.tolist() == [0, 0, 2, 2, 3]
    for k, (operation, cap) in enumerate(CAPS.items()):
        assert torch.allclose(case.x[k], apply(operation, x[k : k + 1], share[k : k + 1], limit=cap)[0], atol=1e-5)


def test_frames_follow_each_other() -> None:
    """Seen through one and then through the other is seen through their product, up to one more resampling."""
    x = smooth(3)
    first, second = (frames(alone(torch.full((3,), s), place), 28, 28) for s, place in ((0.1, 0), (0.1, 3)))
    twice, once = seen(seen(x, first), second), seen(x, first @ second)
    assert (twice - once)[..., 6:22, 6:22].abs().max() < 0.01 < (seen(x, second @ frames(
        alone(torch.full((3,), 0.2), 0), 28, 28)) - once)[..., 6:22, 6:22].abs().max()


def test_what_the_network_sees_is_resampled_by_half_a_bin_at_most() -> None:
    limits = jittered(torch.ones(1, len(CAPS)), BINS)[0]
    assert torch.allclose(limits, torch.tensor(list(CAPS.values())) / BINS)


def test_strengths_have_the_probabilities_of_their_bins() -> None:
    p = torch.tensor([0.1, 0.0, 0.6, 0.3])
    u = (torch.arange(10_000) + 0.5) / 10_000
    drawn = strengths_at(p.expand(10_000, -1), u)
    assert torch.allclose(torch.histc(drawn, 4, -1, 1) / 10_000, p, atol=1e-3)
    assert bool((drawn.diff() >= 0).all()) and drawn.abs().max() <= 1
    inside = drawn[(drawn > 0) & (drawn < 0.5)]
    assert kstest(inside / 0.5, "uniform").statistic < 0.01  # uniform within a bin


def test_the_nucleus_is_the_smallest_set_with_its_share() -> None:
    p = torch.tensor([[0.05, 0.5, 0.15, 0.3]])
    assert nucleus(p, 0.5).tolist() == [[0, 1, 0, 0]]
    assert torch.allclose(nucleus(p, 0.7), torch.tensor([[0, 0.625, 0, 0.375]]))
    assert torch.allclose(nucleus(p, 0.95), torch.tensor([[0, 0.5, 0.15, 0.3]]) / 0.95)
    assert torch.allclose(nucleus(p, 1.0), p)


def test_the_half_width_of_a_uniform_is_its_own() -> None:
    assert half_width(torch.full((8,), 1 / 8)) == pytest.approx(1.0)
    assert half_width(torch.tensor([0.0, 0.5, 0.5, 0.0])) == pytest.approx(0.5)
    assert half_width(torch.tensor([0.0, 1.0, 0.0, 0.0])) == pytest.approx(0.25)


def test_shares_are_uniform_and_the_network_takes_any_size() -> None:
    u = uniform(4000, Generator().manual_seed(0))
    ranks = u[:, 0].sort().values / 2 + 0.5 - torch.arange(1, 4001) / 4000
    assert float(ranks.abs().max()) < 1.95 / 4000**0.5, "Kolmogorov: passed with probability .999"
    for shape in ((1, 28, 28), (3, 9, 14), (3, 64, 48), (1, 8, 8)):
        assert WarpNetwork(shape, 4, 8, 5)(torch.rand(2, *shape)).shape == (2, len(CAPS), 5)

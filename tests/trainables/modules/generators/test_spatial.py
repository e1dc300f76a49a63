"""Warps that may have been: planted turns are found, whole and partial ones, and upright images stay upright."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import kstest
from torch import Generator, Tensor, nn

from spaces.transforms import Operation, apply
from tracking.cost import Meter
from tracking.errors import UserError
from trainables.maker import MakerContext
from trainables.makers.spatial_generator import Config
from trainables.modules.generators.spatial import (
    CAPS,
    NOISE,
    Draw,
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

HORIZON, BINS = 1000, 37
CPU = torch.device("cpu")


class Letters:
    """L, T and F, bright on an even ground, 16 x 16: turned by up to a half-width. Slightly noisy."""

    transform_bank = ()
    shape = (1, 16, 16)

    def __init__(self, degrees: float, ground: float = 0.0) -> None:
        self._degrees, self._ground = degrees, ground

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
        x = self._ground + (1 - self._ground) * x
        return (x + 0.02 * torch.rand(x.shape, generator=generator)).clamp(0, 1)

    balanced = unlabelled


@cache
def made(degrees: float, seed: int = 0, horizon: int = HORIZON, ground: float = 0.0) -> dict[str, Any]:
    """The defaults, but for the horizon: theirs is 3,000."""
    config = Config(horizon=horizon)
    maker = config.build(MakerContext(
        problem=Letters(degrees, ground), horizon=horizon, slice_updates=horizon, seed=seed, device=CPU,
        meter=Meter("cpu"),
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


@pytest.mark.parametrize(("planted", "low", "high"), [(180.0, 140.0, 180.0), (40.0, 30.0, 50.0), (0.0, 0.0, 8.0)])
def test_a_turn_of_the_data_is_found_and_nothing_else(planted: float, low: float, high: float) -> None:
    state = made(planted)
    found = state["widths"]
    assert low <= found["rotation"] <= high
    # Half a pixel is .031. Scale and shear are hard to tell in such letters, and harder where they are turned.
    assert max(found["translate_x"], found["translate_y"]) < 0.08
    assert found["scale"] < 0.15 and found["shear_x"] < 0.35
    collapsed = load_transfer(state, Letters.shape, CPU).collapsed()
    assert (collapsed is None) is (planted > 0)
    assert collapsed is None or "times more than images that were not moved do" in collapsed


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
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("planted", [180.0, 40.0, 15.0, 0.0])
def test_it_is_found_from_other_seeds_and_after_the_default_horizon(planted: float, seed: int) -> None:
    """A longer training does not narrow it: what resampling does to pixels is hidden from the network.

    Without the noise and with a jitter of half a bin 40 degrees came out as 11 (docs/log.md).
    """
    state = made(planted, seed, Config().horizon)
    low, high = {180.0: (140, 180), 40.0: (30, 50), 15.0: (10, 20), 0.0: (0, 6)}[planted]
    assert low <= state["widths"]["rotation"] <= high
    if planted != 15.0:  # that little is found, and called a collapse or not by chance: ratios of .19 to .24 to .2
        assert (load_transfer(state, Letters.shape, CPU).collapsed() is None) is (planted > 0)
    after = turns(drawn(state, letters_f(torch.linspace(-0.95, 0.95, 200) * planted)))
    assert after.abs().median() == pytest.approx(planted / 2, rel=0.25, abs=4)


@pytest.mark.slow
def test_a_ground_that_is_not_black_does_not_give_turns_away() -> None:
    """Where corners of turned images were black, no turn by 180 degrees went unnoticed; and draws had black rims."""
    state = made(180.0, ground=0.3)
    assert state["widths"]["rotation"] > 130
    x = Letters(180.0, 0.3).unlabelled(Generator().manual_seed(0), 50)
    assert drawn(state, x).min() > 0.25


class Sure(nn.Module):
    """Says of every image that the strengths are in these bins, whatever it sees; the middle one where not named."""

    bins = BINS

    def __init__(self, places: dict[int, int]) -> None:
        super().__init__()
        named = [places.get(place, BINS // 2) for place in range(len(CAPS))]
        self._odds = 100.0 * nn.functional.one_hot(torch.tensor(named), BINS)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self._odds.expand(len(x), -1, -1)


def smooth(count: int, *shape: int) -> Tensor:
    """Images (C, H, W) that resampling hardly changes: noise of a few pixels' width."""
    channels, height, width = shape
    noise = torch.rand(count, channels, height + 16, width + 16, generator=Generator().manual_seed(0))
    return nn.functional.avg_pool2d(nn.functional.avg_pool2d(noise, 9, 1), 9, 1)


def draw(x: Tensor, jitter: float = 0.0, noise: float = 0.0) -> Draw:
    """The middle of every bin."""
    return Draw(
        torch.full((len(x), len(CAPS)), jitter), torch.full((len(x), len(CAPS)), 0.5), torch.full(x.shape, noise)
    )


def redrawn(x: Tensor, network: Sure, how: Draw) -> Tensor:
    images, _ = Redraws(network, 1.0)(x, how)  # type: ignore[arg-type]
    return images


def middle_of(bin: int) -> float:
    return (2 * bin + 1) / BINS - 1


def inner(x: Tensor) -> Tensor:
    """Without what comes into view from outside."""
    rows, columns = x.shape[-2] // 4, x.shape[-1] // 4
    return x[..., rows:-rows, columns:-columns]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 24, 44)])
@pytest.mark.parametrize("place", range(len(CAPS)))
def test_a_draw_is_undone(place: int, shape: tuple[int, int, int]) -> None:
    """Of an image that was moved by the middle of a bin: what comes back is the image, as far as resampling allows."""
    x = smooth(4, *shape)
    operation, cap = list(CAPS.items())[place]
    turned = apply(operation, x, torch.full((4,), middle_of(22)), limit=cap)
    back = redrawn(turned, Sure({place: 22}), draw(turned))
    assert inner(back - x).abs().mean() < 0.25 * inner(turned - x).abs().mean()


def test_draws_of_two_warps_are_undone_one_after_the_other_on_what_the_jitter_left() -> None:
    """A shift and then a turn do not commute: the wrong order is eight times as far off."""
    x = smooth(4, 1, 28, 28)
    turn, shift = (frames(alone(torch.full((4,), middle_of(bin)), place), 28, 28) for bin, place in ((20, 0), (23, 1)))
    jitter = frames(jittered(torch.full((4, len(CAPS)), 0.7), 28, 28), 28, 28)
    made = redrawn(x, Sure({0: 20, 1: 23}), draw(x, jitter=0.7))
    right = seen(x, jitter @ torch.linalg.inv(turn) @ torch.linalg.inv(shift))
    wrong = seen(x, torch.linalg.inv(shift) @ torch.linalg.inv(turn) @ jitter)
    assert inner(made - right).abs().max() < 1e-4 < inner(made - wrong).abs().max() / 10
    unmoved = redrawn(x, Sure({}), draw(x, jitter=0.7))
    assert inner(unmoved - seen(x, jitter)).abs().max() < 1e-4 < inner(unmoved - x).abs().max()


def test_the_network_sees_noise_and_what_is_made_has_none() -> None:
    x, network = smooth(3, 1, 12, 12), Sure({})
    made = redrawn(x, network, draw(x, noise=1.0))
    assert torch.allclose(made, x, atol=1e-5)
    assert len(network.seen) == len(CAPS)
    assert all(torch.allclose(image, x + NOISE, atol=1e-5) for image in network.seen)
    assert redrawn(x + 0.8, network, draw(x)).max() <= 1


def test_what_comes_into_view_is_as_the_border() -> None:
    x = torch.full((1, 1, 9, 9), 0.3)
    for place in range(len(CAPS)):
        assert torch.allclose(seen(x, frames(alone(torch.tensor([0.6]), place), 9, 9)), x)


def test_numbers_of_a_draw_are_as_they_are_used() -> None:
    one = Draw.of(torch.zeros(500, 1, 4, 4), Generator().manual_seed(0))
    assert -1 <= one.jitter.min() < -0.98 and 0.98 < one.jitter.max() <= 1
    assert 0 <= one.u.min() < 0.01 and 0.99 < one.u.max() <= 1
    assert one.noise.std() == pytest.approx(1, abs=0.05)


def test_images_are_moved_by_what_their_bins_say() -> None:
    """Bilinear, with the border outside, as `seen` reads: so inner pixels are those of the operations."""
    x = smooth(5, 2, 24, 32)
    share = torch.tensor([-1.0, -0.51, 0.0, 0.3, 0.999])
    case = moved(x, torch.zeros(5, len(CAPS)), torch.arange(5), share, bins=4)
    assert case.bin.tolist() == [0, 0, 2, 2, 3]
    for k, (operation, cap) in enumerate(CAPS.items()):
        expected = apply(operation, x[k : k + 1], share[k : k + 1], limit=cap)[0]
        outside = apply(operation, torch.ones_like(x[k : k + 1]), share[k : k + 1], limit=cap)[0] < 1
        assert torch.allclose(torch.where(outside, 0.0, case.x[k]), torch.where(outside, 0.0, expected), atol=1e-5)


def test_frames_follow_each_other() -> None:
    """Seen through one and then through the other is seen through their product, up to one more resampling."""
    x = smooth(3, 1, 28, 28)
    turn, shift = (frames(alone(torch.full((3,), s), place), 28, 28) for s, place in ((0.3, 0), (0.3, 1)))
    twice = inner(seen(seen(x, turn), shift))
    assert (twice - inner(seen(x, turn @ shift))).abs().max() < 0.004
    assert (twice - inner(seen(x, shift @ turn))).abs().max() > 0.01  # the other order


def test_the_jitter_is_half_a_pixel_and_little_of_the_rest() -> None:
    limits = jittered(torch.ones(1, len(CAPS)), 20, 40)[0].tolist()
    assert limits == pytest.approx([2.5, 0.5 / 40, 0.5 / 20, 0.015, 0.03])


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


def test_a_middle_bin_is_asked_for() -> None:
    with pytest.raises(ValidationError, match="must be odd"):
        Config(bins=72)


def test_a_generator_of_before_is_refused() -> None:
    """The first knew widths alone; the second had even numbers of bins."""
    state = made(0.0)
    bare = {name: value for name, value in state.items() if name != "sizes"}
    for old in (bare, {**state, "sizes": {**state["sizes"], "bins": 72}}):
        with pytest.raises(UserError, match="train it again"):
            load_transfer(old, Letters.shape, CPU)

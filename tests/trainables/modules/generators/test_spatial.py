"""The parts of the spatial generator: frames, strengths, what the network sees, and draws that are undone."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import kstest
from torch import Generator, Tensor, nn

from spaces.transforms import apply
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

BINS = 37


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

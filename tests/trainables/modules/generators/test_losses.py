"""Losses and layers of the generators against literal computations."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Generator, Tensor

from trainables.method import drawn as seeded
from trainables.modules.generators.losses import APART, adversarial_loss, discriminator_loss, diversity_loss, l1
from trainables.modules.generators.measures import Measures, diversity_ratio
from trainables.modules.generators.optimiser import cosine
from trainables.modules.generators.style_network import StyleNetwork, StyleNetworkConfig, adain, instance_norm, padded


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def fresh() -> StyleNetwork:
    made = seeded(lambda: StyleNetwork(1, StyleNetworkConfig(width=4)), 0)
    assert isinstance(made, StyleNetwork)
    return made.requires_grad_(False)


def test_the_rate_rises_and_falls_to_a_twentieth() -> None:
    """1/50 at first, all of it after the rise at a long horizon, half way down in the middle, .05 at the end."""
    assert cosine(0, 10_000) == pytest.approx(1 / 50)
    assert cosine(100, 10_000) == pytest.approx(1, abs=1e-3)
    assert cosine(5000, 10_000) == pytest.approx((1 + 0.05) / 2)
    assert cosine(10_000, 10_000) == pytest.approx(0.05)


def test_least_squares_by_hand() -> None:
    real, made = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.5])
    assert float(discriminator_loss(real, made)) == pytest.approx(0.125 + 0.125)
    assert float(adversarial_loss(made)) == pytest.approx((1 + 0.25) / 2)
    half = torch.full((3,), 0.5)
    assert float(discriminator_loss(half, half)) == 0.5, "who says one half of everything cannot tell"


def test_diversity_is_the_mean_quotient_over_images() -> None:
    first, second, s, t = drawn(3, 1, 4, 5), drawn(3, 1, 4, 5, seed=1), drawn(3, 2, seed=2), drawn(3, 2, seed=3)
    by_hand = 0.0
    for i in range(3):
        apart = sum(abs(float(a - b)) for a, b in zip(first[i].flatten(), second[i].flatten(), strict=True)) / 20
        styles = sum(abs(float(a - b)) for a, b in zip(s[i], t[i], strict=True)) / 2
        by_hand += styles / (apart + APART) / 3
    assert float(diversity_loss(first, second, s, t)) == pytest.approx(by_hand)
    assert float(diversity_loss(first, first, s, t)) > 10 * by_hand, "draws that are alike are dear"


def test_instance_normalisation_and_adain_have_the_moments_that_are_asked_for() -> None:
    x = 5 + 3 * drawn(2, 4, 9, 7)
    plain = instance_norm(x)
    assert torch.allclose(plain.mean((2, 3)), torch.zeros(2, 4, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(plain.var((2, 3), unbiased=False), torch.ones(2, 4, dtype=torch.float64), atol=1e-4)
    offset, gain = drawn(2, 4, seed=1), 1 + drawn(2, 4, seed=2).abs()
    made = adain(x, offset, gain)
    assert torch.allclose(made.mean((2, 3)), offset, atol=1e-6)
    assert torch.allclose(made.std((2, 3), unbiased=False), gain, rtol=1e-4)


@pytest.mark.parametrize("size", [(28, 28), (16, 16), (9, 14), (8, 8)])
def test_any_size_comes_back_and_padding_repeats_the_border(size: tuple[int, int]) -> None:
    network = fresh()
    x = drawn(2, 1, *size).float()
    content, style = network.encode(x)
    made = network.decode(content, style, size)
    assert made.shape == x.shape and bool((made.abs() <= 1).all())
    wide = padded(x)
    assert wide.shape[-1] % 4 == wide.shape[-2] % 4 == 0 and torch.equal(wide[..., : size[0], : size[1]], x)
    if wide.shape[-1] > size[1]:
        assert torch.equal(wide[..., : size[0], -1], x[..., -1])


def test_content_does_not_see_contrast_and_an_output_not_the_rest_of_the_batch() -> None:
    """One gain and one offset of an image leave its content as it is, up to the first layer's bias and padding."""
    network = fresh().double()
    x = drawn(3, 1, 16, 16)
    together = network.content(x)
    assert torch.allclose(together[1:2], network.content(x[1:2]), atol=1e-9)
    inner = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(network.content(2 * x)[inner], together[inner], atol=0.2)
    assert not torch.allclose(network.style_encoder(2 * x), network.style_encoder(x), atol=1e-3)


def test_the_ratio_and_what_a_collapse_is() -> None:
    assert diversity_ratio(0.2, 0.25, 0.5) == 0.8
    assert diversity_ratio(0.02, 0.001, 0.5) == pytest.approx(0.2), "styles that do nothing are no scale"
    assert diversity_ratio(0.0, 0.0, 0.0) == 0.0
    good = Measures(diversity=0.25, swap=0.25, spread=0.5, reconstruction=0.03, discriminator=0.47)
    assert good.collapsed() is None
    assert Measures.of(good.state()) == good
    identity = Measures(0.012, 0.18, 0.5, 0.01, 0.5)
    assert "collapsed to the identity" in str(identity.collapsed()) and "chance" in str(identity.collapsed())
    loses = Measures(0.25, 0.25, 0.5, 0.3, 0.3)
    assert "does not keep its inputs" in str(loses.collapsed())
    invents = replace(good, diversity=0.51)
    assert "more than 2.0" in str(invents.collapsed()) and replace(good, diversity=0.49).collapsed() is None


def test_of_warps_what_is_known_counts_and_not_how_far_draws_are_apart() -> None:
    """Draws of an untrained network differ more than those of a sound one, by up to 5.5 times what resampling does."""
    turns = Measures(diversity=0.23, swap=0.08, spread=0.5, reconstruction=0.0, discriminator=None, informed=0.36)
    assert turns.diversity_ratio > 2 and turns.collapsed() is None
    assert "has learned nothing" in str(replace(turns, informed=0.09).collapsed())
    assert "knows 0.00 of" in str(replace(turns, informed=-0.02).collapsed())
    assert "collapsed to the identity" in str(replace(turns, diversity=0.01).collapsed())
    before = {name: value for name, value in turns.state().items() if name != "informed"}
    assert Measures.of(before) == replace(turns, informed=None), "it was not measured then"


@pytest.mark.parametrize("name", [field.name for field in fields(Measures)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_not_sound(name: str, value: float) -> None:
    sound = Measures(0.25, 0.25, 0.5, 0.03, 0.47, informed=0.5)
    assert sound.collapsed() is None
    assert "has diverged" in str(replace(sound, **{name: value}).collapsed())


def test_l1_is_the_mean_absolute_difference() -> None:
    assert float(l1(torch.tensor([1.0, -1.0]), torch.tensor([0.0, 1.0]))) == 1.5

"""Extractors of colour images: what stretches colours, and that features move with them from the start."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Generator, Tensor, nn

from spaces.descriptors import standard_family
from trainables.modules.conditioned import CHROMA, Chroma, ConditionedExtractor, ExtractorConfig
from trainables.modules.extractor import Extractor, packed

FAMILY = standard_family(3)
SEEDS = 5


def photographs(count: int = 64, colours: float = 0.07) -> Tensor:
    """Grey patterns, and colours that by default vary by a third of them, as in CIFAR-10: (count, 3, 12, 12)."""
    generator = Generator().manual_seed(0)
    grey, colour = (torch.randn(count, channels, 12, 12, generator=generator) for channels in (1, 3))
    return 0.5 + 0.2 * grey + colours * (colour - colour.mean(1, keepdim=True))


def network(seed: int) -> ConditionedExtractor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConditionedExtractor(ExtractorConfig(channels=3, factors=len(FAMILY.factors), width=8, features=16))


def moved_by_colours(made: ConditionedExtractor, x: Tensor) -> float:
    """Mean squared change of the features when colours are turned by a third of the circle."""
    on = torch.zeros(len(FAMILY.factors))
    with torch.no_grad():
        return float((made(x, on) - made(x.roll(1, 1), on)).square().sum(-1).mean())


def test_grey_stays_and_differences_are_stretched() -> None:
    x = photographs()
    grey = x.mean(1, keepdim=True)
    y = Chroma()(x)
    assert torch.allclose(y.mean(1, keepdim=True), grey, atol=1e-6)
    assert torch.allclose(y - grey, CHROMA * (x - grey), atol=1e-5)
    assert torch.allclose(Chroma()(grey.expand_as(x)), grey.expand_as(x), atol=1e-6)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_features_move_with_colours_from_the_start(seed: int) -> None:
    """By the square of the stretch where colours are faint, whatever the weights; still more where they are not."""
    made, x = network(seed), photographs()
    blind = copy.deepcopy(made)
    blind.stem[0] = nn.Identity()
    faint = photographs(colours=1e-3)
    assert moved_by_colours(made, faint) == pytest.approx(CHROMA**2 * moved_by_colours(blind, faint), rel=0.1)
    assert moved_by_colours(made, x) > moved_by_colours(blind, x)


def test_images_of_other_channels_have_none() -> None:
    for channels, there in ((1, False), (2, False), (3, True), (4, False)):
        made = ConditionedExtractor(ExtractorConfig(channels=channels, factors=2, width=8, features=16))
        assert any(isinstance(part, Chroma) for part in made.modules()) == there


def test_what_is_baked_has_it_too() -> None:
    made, x = network(0), photographs(8)
    state = {name: value.clone() for name, value in made.state_dict().items()}
    extractor = Extractor(packed(made.config, FAMILY, (3, 12, 12), state))
    descriptor = torch.rand(len(FAMILY.factors), generator=Generator().manual_seed(1))
    baked = extractor.bake(descriptor)
    assert torch.allclose(baked(x), made(x, descriptor), atol=1e-5)
    exported = torch.export.export(baked, (x,)).module()
    assert torch.allclose(exported(x), made(x, descriptor), atol=1e-5)

"""A flip is on or off: what is measured under it, and what averages over it, sees no blend of image and mirror."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import log_softmax

from trainables.invariance import class_invariance, common_sampler, measure
from trainables.problems.bank import SWITCHES, image_bank
from trainables.problems.problem import Kind

SHAPE = (1, 8, 8)
DIMENSION = {"flip_horizontal": 3, "flip_vertical": 2}


def images(count: int = 40) -> Tensor:
    return torch.rand((count, *SHAPE), generator=Generator().manual_seed(0))


def network(x: Tensor) -> Tensor:
    """Something that reads where things are: a fixed random layer and a bend, so that a blend is no mean of outputs."""
    weight = torch.randn(64, 5, generator=Generator().manual_seed(1))
    return (x.flatten(1) @ weight).square()


@pytest.mark.parametrize("name", SWITCHES)
def test_what_ignores_a_flip_is_invariant_to_it(name: str) -> None:
    def even(x: Tensor) -> Tensor:
        return network(x) + network(x.flip(DIMENSION[name]))

    flip = next(action for action in image_bank(SHAPE, {}) if action.name == name)
    x, y = images(), torch.arange(40) % 5
    measured = measure(even, x, (flip,), {}, 3, Kind.CLASSIFICATION)
    assert measured[f"{name}/agreement"] == 1.0 and measured[f"{name}/kl"] < 1e-6
    under = class_invariance(even, x, y, common_sampler((flip,), {}), 4, Generator().manual_seed(2), 5)
    assert float(under.ekld.max()) < 1e-6
    blended = even(flip.apply(x, torch.full((40,), 0.5)))  # the control: half a flip is another image
    assert not torch.allclose(blended, even(x), rtol=1e-2)


@pytest.mark.parametrize("name", SWITCHES)
def test_what_is_measured_is_the_flip_itself(name: str) -> None:
    """Of something that is not invariant, against the definition."""
    flip = next(action for action in image_bank(SHAPE, {}) if action.name == name)
    x = images()
    log_p, log_q = log_softmax(network(x), -1), log_softmax(network(x.flip(DIMENSION[name])), -1)
    measured = measure(network, x, (flip,), {}, 3, Kind.CLASSIFICATION)
    assert measured[f"{name}/kl"] == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum(-1).mean()), rel=1e-4)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_common_copy_is_the_image_or_its_mirror(name: str) -> None:
    """By a coin: of 2,000 about 1,000 are flipped; 800 to 1,200 is nine standard deviations to either side."""
    flip = next(action for action in image_bank(SHAPE, {}) if action.name == name)
    x = images(2000)
    copies = common_sampler((flip,), {})(x, Generator().manual_seed(3))
    kept = (copies - x).abs().amax((1, 2, 3)) < 1e-6
    mirrored = (copies - x.flip(DIMENSION[name])).abs().amax((1, 2, 3)) < 1e-6
    assert bool((kept ^ mirrored).all()) and 800 < int(mirrored.sum()) < 1200

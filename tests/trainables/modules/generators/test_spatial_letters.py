"""A spatial generator that was trained: planted turns are found, whole and partial ones, and upright images stay so."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor

from spaces.transforms import Operation, apply
from tracking.cost import Meter
from tracking.errors import UserError
from trainables.maker import MakerContext
from trainables.makers.spatial_generator import Config
from trainables.modules.generators.transfer import load_transfer

HORIZON = 1000
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


def test_a_generator_that_has_learned_nothing_is_told() -> None:
    """Its draws are the widest there are, so that its diversity is beyond that of any that has learned.

    A network that knows nothing has a cross-entropy of log N; every bin of each image is told by one that is trained,
    but for the turn, which a pool of any turn does not tell.
    """
    nothing, full, upright = made(180.0, horizon=1), made(180.0), made(0.0)
    assert nothing["measures"]["diversity_ratio"] > full["measures"]["diversity_ratio"]
    assert nothing["measures"]["informed"] == pytest.approx(0.0, abs=0.02)
    assert 0.2 < full["measures"]["informed"] < 0.8 * upright["measures"]["informed"] < 0.8
    said = load_transfer(nothing, Letters.shape, CPU).collapsed()
    assert said is not None and "has learned nothing" in said


def letters_f(degrees: Tensor) -> Tensor:
    """The letter F, turned by these angles (n,)."""
    upright = torch.zeros(len(degrees), *Letters.shape)
    upright[:, :, 3:13, 5:7], upright[:, :, 3:5, 5:12], upright[:, :, 7:9, 5:10] = 1.0, 1.0, 1.0
    return apply(Operation.ROTATION, upright, degrees / 180, limit=180.0)


def turns(x: Tensor) -> Tensor:
    """By how many degrees a letter F is turned: the best of all whole degrees, by squared distance."""
    degrees = torch.arange(-180.0, 180.0)
    return degrees[torch.cdist(x.flatten(1), letters_f(degrees).flatten(1)).argmin(1)]


def drawn(state: dict[str, Any], x: Tensor) -> Tensor:
    return load_transfer(state, Letters.shape, CPU).sample(x, Generator().manual_seed(0))


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


def test_a_generator_of_before_is_refused() -> None:
    """The first knew widths alone; the second had even numbers of bins."""
    state = made(0.0)
    bare = {name: value for name, value in state.items() if name != "sizes"}
    for old in (bare, {**state, "sizes": {**state["sizes"], "bins": 72}}):
        with pytest.raises(UserError, match="train it again"):
            load_transfer(old, Letters.shape, CPU)

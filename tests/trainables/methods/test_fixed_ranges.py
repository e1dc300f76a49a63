"""The customary augmentation: its distribution is what was asked for, and nothing of it moves."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest
from torch import Generator

from spaces.transforms import Operation, apply
from tests.support.toy_problems import signal_toy
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps, with_view
from trainables.methods.fixed_ranges import Config
from trainables.modules.augmentation.fixed import OF_IMAGES, fixed_layer


def test_inputs_are_moved_uniformly_in_the_ranges() -> None:
    """Shifts of a point, read off as its centre of mass: Kolmogorov-Smirnov at 1e-4; a range wider by a fifth fails."""
    method = Config(ranges={"translate_x": 0.2}).build(toy_context())
    x = torch.zeros(3000, 1, 17, 17)
    x[:, :, 8, 8] = 1
    drawn = method.sample(x, Generator().manual_seed(0))
    columns, rows = drawn.sum((1, 2)), drawn.sum((1, 3))
    place = torch.arange(17.0) - 8
    shift = (columns * place).sum(1) / columns.sum(1) / 17
    assert float(((rows * place).sum(1)).abs().max()) < 1e-4, "nothing but x was named"
    assert kstest(shift.numpy(), "uniform", (-0.2, 0.4)).pvalue > 1e-4
    assert kstest(shift.numpy(), "uniform", (-0.24, 0.48)).pvalue < 1e-4


def test_flips_and_colours_are_those_that_were_asked_for() -> None:
    layer = fixed_layer((3, 8, 8), {"flip_horizontal": 0.5, "brightness": 1.0, "rotation": 180.0})
    learned = {one.name: one.high for one in layer.learned()}
    assert learned == pytest.approx({"flip_horizontal": 0.5, "brightness": 1.0, "rotation": 180.0})
    only = fixed_layer((3, 8, 8), {"flip_horizontal": 0.5})
    x = torch.rand(400, 3, 8, 8, generator=Generator().manual_seed(0))
    flipped = (only.draw(x, Generator().manual_seed(1)) == x.flip(-1)).all(-1).all(-1).all(-1)
    assert 160 < int(flipped.sum()) < 240  # 4 standard deviations
    turned = fixed_layer((3, 8, 8), {"rotation": 30.0})
    noise = turned.sample(len(x), Generator().manual_seed(2))
    expected = apply(Operation.ROTATION, x, 2 * noise[:, 0] - 1, 30.0)
    torch.testing.assert_close(turned.eval()(x, noise).detach(), expected, rtol=1e-4, atol=1e-4)


def test_nothing_is_learned_and_all_operations_can_be_named() -> None:
    method = Config().build(toy_context())
    before = method.sample(torch.rand(4, 1, 8, 8), Generator().manual_seed(0)).shape
    assert before == (4, 1, 8, 8)
    for _ in steps(method):
        pass
    assert not hasattr(method, "describe")
    everything = fixed_layer((3, 8, 8), {str(one): 0.3 for one in OF_IMAGES})
    assert len(everything.learned()) == len(OF_IMAGES)
    assert len(fixed_layer((1, 100), {"noise": 0.2, "frequency_shift": 3.0}, 100.0).learned()) == 2


@pytest.mark.parametrize(
    ("ranges", "match"),
    [({}, "names operations of theirs"), ({"phase": 0.1}, "names operations of theirs"),
     ({"hue": 0.1}, "need RGB images"), ({"rotation": 200.0}, "means nothing"),
     ({"scale": 1000.0}, "means nothing"),
     ({"flip_horizontal": 1.0}, "between 0 and its cap"), ({"rotation": 0.0}, "between 0 and its cap")],
)
def test_what_does_not_suit_is_refused_before_work_starts(ranges: dict[str, float], match: str) -> None:
    context = toy_context()
    for refused in (lambda: Config(ranges=ranges).fits(context.problem, context.network),
                    lambda: Config(ranges=ranges).build(context)):
        with pytest.raises(UserError, match=match):
            refused()


def test_a_range_far_beyond_the_usual_cap_is_kept() -> None:
    """Signals that nobody has standardised: a softplus of 1,000 has an exponential that overflows."""
    (noise,) = fixed_layer((2, 32), {"noise": 100.0}).learned()
    assert noise.high == pytest.approx(100.0, rel=1e-5)
    with pytest.raises(UserError, match=r"images .* or signals"):
        fixed_layer((5,), {"noise": 0.6})


def test_signals_take_their_own_operations() -> None:
    context = with_view(toy_context(), signal_toy().view())
    Config(ranges={"noise": 0.1}).fits(context.problem, context.network)
    with pytest.raises(UserError, match="names operations of theirs"):
        Config().fits(context.problem, context.network)
    with pytest.raises(UserError, match="half the rate"):
        Config(ranges={"frequency_shift": 0.7}).fits(context.problem, context.network)

"""One colour matrix against the operations of the table, and what hue and saturation may not touch."""

from __future__ import annotations

import pytest
import torch

from spaces.transforms import TRANSFORMS, Operation, apply
from tests.trainables.modules.augmentation.layers import inputs, noise
from tracking.errors import UserError
from trainables.modules.augmentation import LearnedColor
from trainables.modules.augmentation.colour import COLOUR, GREY


@pytest.mark.parametrize("operation", [Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SATURATION])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_operation_is_the_one_of_the_table(operation: Operation, channels: int) -> None:
    if channels == 1 and operation is Operation.SATURATION:
        pytest.skip("grey images have none")
    layer, x = LearnedColor([operation], start=0.5).double(), inputs("colour" if channels == 3 else "grey")
    eps = noise(layer, len(x))
    expected = apply(operation, x, 0.5 * (2 * eps[:, 0] - 1), TRANSFORMS[operation].limit)
    torch.testing.assert_close(layer(x, eps), expected, rtol=1e-5, atol=1e-6)


def test_together_they_are_a_chain() -> None:
    """Brightness, contrast, saturation, hue; mid-tones, so that nothing is clamped on the way."""
    layer, x = LearnedColor(start=0.2).double(), inputs("colour")
    eps = noise(layer, len(x))
    chain = x
    for k in range(len(COLOUR)):
        alone = torch.eye(len(COLOUR), dtype=torch.float64)[k].expand(len(x), -1)
        chain = layer.augment(chain, eps, alone)
    torch.testing.assert_close(layer(x, eps), chain)
    back = x
    for k in reversed(range(len(COLOUR))):
        alone = torch.eye(len(COLOUR), dtype=torch.float64)[k].expand(len(x), -1)
        back = layer.augment(back, eps, alone)
    assert not torch.allclose(layer(x, eps), back, atol=1e-4), "negative control: the other order"


def test_hue_and_saturation_leave_grey_alone_and_a_third_of_a_turn_permutes() -> None:
    layer = LearnedColor((Operation.SATURATION, Operation.HUE), start=0.9).double()
    grey = inputs("grey").expand(-1, 3, -1, -1).contiguous()
    torch.testing.assert_close(layer(grey, noise(layer, len(grey))), grey)
    turn = LearnedColor([Operation.HUE], {Operation.HUE: 0.5}, start=2 / 3).double()  # 1/3 of a turn at the upper end
    x = inputs("colour")
    turned = turn(x, torch.ones(len(x), 1, dtype=torch.float64))
    torch.testing.assert_close(turned, x.roll(1, 1), rtol=0, atol=1e-6)
    half = turn(x, torch.full((len(x), 1), 0.75, dtype=torch.float64))
    torch.testing.assert_close(half.mean(1), x.mean(1), rtol=0, atol=1e-6)


def test_the_output_is_an_image() -> None:
    layer, x = LearnedColor(start=0.99).double(), inputs("colour", 64) * 1.5
    out = layer(x.clamp(0, 1), noise(layer, len(x))).detach()
    assert float(out.min()) >= 0 and float(out.max()) <= 1
    assert float(out.min()) == 0 and float(out.max()) == 1, "negative control: the ranges do reach the bounds"


def test_what_does_not_fit_is_refused() -> None:
    grey, signal = torch.rand(2, 1, 8, 8), torch.rand(2, 3, 50)
    with pytest.raises(UserError, match="saturation, hue need RGB images"):
        LearnedColor()(grey, torch.rand(2, 4))
    with pytest.raises(UserError, match="batches of images"):
        LearnedColor()(signal, torch.rand(2, 4))
    with pytest.raises(UserError, match="each of its operations once"):
        LearnedColor([Operation.ROTATION])
    assert LearnedColor(GREY)(grey, torch.rand(2, 2)).shape == grey.shape

"""Misuse that would otherwise give numbers without a meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from spaces.transforms import Operation
from tests.trainables.modules.augmentation.layers import LAYERS, inputs
from tracking.errors import UserError
from trainables.modules.augmentation import (
    AugmentationLayer,
    Compose,
    InstanceRanges,
    InvariantModel,
    LearnedAffine,
    LearnedColor,
    LearnedFlip,
    LearnedSignal,
    Parametrisation,
    SelectLayer,
    SignalOperation,
    range_reward,
)

every = pytest.mark.parametrize("name", LAYERS)
MEANINGLESS: list[tuple[Callable[..., AugmentationLayer], Any, float]] = [
    (LearnedAffine, Operation.ROTATION, 181.0), (LearnedAffine, Operation.TRANSLATE_Y, 1.1),
    (LearnedFlip, Operation.FLIP_HORIZONTAL, 1.01), (LearnedColor, Operation.BRIGHTNESS, 1.2),
    (LearnedColor, Operation.CONTRAST, 5.0), (LearnedColor, Operation.SATURATION, 1.2),
    (LearnedColor, Operation.HUE, 3.0),
    (lambda caps: LearnedSignal(32, 32.0, caps=caps), SignalOperation.PHASE, 1.5),
    (lambda caps: LearnedSignal(32, 32.0, caps=caps), SignalOperation.FREQUENCY_SHIFT, 17.0),
]


@pytest.mark.parametrize(("make", "operation", "cap"), MEANINGLESS)
def test_a_cap_beyond_what_has_a_meaning_is_refused(
    make: Callable[..., AugmentationLayer], operation: Any, cap: float
) -> None:
    with pytest.raises(UserError, match=r"means nothing|half the rate"):
        make(caps={operation: cap})
    assert len(make(caps={operation: cap / 20}).learned()) >= 1, "negative control"


@pytest.mark.parametrize("parametrisation", list(Parametrisation))
@pytest.mark.parametrize("start", [0.0, 1.0, 3.0, 800.0, float("nan")])
def test_ranges_start_within_their_caps(parametrisation: Parametrisation, start: float) -> None:
    with pytest.raises(UserError, match="between 0 and its cap"):
        LearnedAffine(start=start, parametrisation=parametrisation)


@every
def test_noise_that_would_be_shared_is_refused(name: str) -> None:
    """One number for all operations, or one row for all inputs, would broadcast without a word."""
    layer, x = LAYERS[name](), inputs(name).float()
    size = layer.noise_size()
    for shape in ((len(x), size + 1), (1, size), (len(x), 1)):
        if shape != (len(x), size):
            with pytest.raises(UserError, match="draw it with `sample`"):
                layer(x, torch.rand(shape))


def model(trunk: nn.Module | None = None, **copies: int) -> InvariantModel:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 12, 5)) if trunk is None else trunk
    return InvariantModel(made, LearnedAffine(), **copies)


@pytest.mark.parametrize("shape", [(0, 3, 6), (3, 6), (2, 1, 6), (2, 3, 5)])
def test_noise_of_no_copies_or_of_other_inputs_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="draw it with `sample`"):
        model()(inputs("affine").float(), torch.rand(shape))


@pytest.mark.parametrize("copies", [0, -1, 1.5, True])
def test_what_is_no_number_of_copies_is_refused_whenever_it_is_set(copies: Any) -> None:
    with pytest.raises(UserError, match="must be 1 at least"):
        model(copies_train=copies)
    made = model()
    made.copies_train = copies
    with pytest.raises(UserError, match="must be 1 at least"):
        made.sample(3, Generator())


@pytest.mark.parametrize("trunk", [nn.Conv2d(3, 5, 1), nn.Flatten(0)])
def test_a_trunk_with_outputs_of_another_form_is_refused(trunk: nn.Module) -> None:
    made, x = model(trunk), inputs("affine").float()
    with pytest.raises(UserError, match=r"outputs \(B, outputs\)"):
        made(x, made.sample(len(x), Generator()))


@pytest.mark.parametrize("shape", [(9, 12), (3, 3, 0, 12)])
def test_what_is_no_batch_of_images_is_refused(shape: tuple[int, ...]) -> None:
    layer = LearnedAffine()
    with pytest.raises(UserError, match="batches of images"):
        layer(torch.rand(3, *shape) if len(shape) == 2 else torch.rand(shape), torch.rand(3, 6))


def test_ranges_by_input_have_no_reward_without_one() -> None:
    """There would be no gradient: ranges would vanish while `learned` says what they were."""
    layer = InstanceRanges(LearnedAffine(), (3, 9, 12))
    for wrapped in (layer, Compose(layer, LearnedFlip()), SelectLayer(layer)):
        with pytest.raises(UserError, match="paid by input"):
            range_reward(wrapped)
    assert layer.entropy(inputs("affine").float()).requires_grad
    assert range_reward(Compose(LearnedAffine(), LearnedFlip())).requires_grad, "negative control"


def test_ranges_by_input_take_inputs_of_their_kind() -> None:
    with pytest.raises(UserError, match="need RGB images"):
        InstanceRanges(LearnedColor(), (1, 16, 16))
    layer = InstanceRanges(LearnedAffine(), (3, 16, 16))
    with pytest.raises(UserError, match="made for inputs like"):
        layer(torch.rand(2, 1, 16, 16), torch.rand(2, 6))
    assert layer(torch.rand(2, 3, 9, 9), torch.rand(2, 6)).shape == (2, 3, 9, 9), "any size will do"


class Failing(LearnedAffine):
    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        raise RuntimeError("as if the device had failed")


def test_a_failed_draw_leaves_every_part_in_its_mode() -> None:
    layer = Compose(LearnedFlip(), SelectLayer(Failing()))
    layer.parts()[0].eval()
    with pytest.raises(RuntimeError):
        layer.draw(inputs("affine").float(), Generator())
    assert layer.training and layer.parts()[1].training and not layer.parts()[0].training

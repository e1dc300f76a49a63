"""States of layers: they come back as what they were, and into nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Generator

from spaces.transforms import Operation, Padding
from tests.trainables.modules.augmentation.layers import LAYERS, inputs, made
from tests.trainables.modules.augmentation.test_invariant_model import OnesOrZeros
from tracking.errors import UserError
from trainables.modules.augmentation import (
    AugmentationLayer,
    Compose,
    InstanceRanges,
    LearnedAffine,
    LearnedColor,
    LearnedFlip,
    LearnedSignal,
    LieAffine,
    Parametrisation,
    Selection,
    SelectLayer,
    SignalOperation,
    restored,
)
from trainables.modules.augmentation.published import AugNetLayer

ROTATION, SCALE = Operation.ROTATION, Operation.SCALE
SAVED: dict[str, Callable[[], AugmentationLayer]] = {
    **LAYERS,
    "augnet": lambda: AugNetLayer(0.5, 0.3),
    "instance": lambda: InstanceRanges(LearnedAffine(), (3, 9, 12), 0.3, width=4),
    "nested": lambda: Compose(SelectLayer(LearnedAffine((SCALE, ROTATION), {ROTATION: 50.0}), 0.3), LearnedColor()),
    "reflecting": lambda: LearnedAffine(padding=Padding.REFLECTION, parametrisation=Parametrisation.SOFTPLUS),
    "one of signals": lambda: LearnedSignal(32, 7.0, 2, [SignalOperation.NOISE], {SignalOperation.NOISE: 3.0}),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_layer_comes_back_from_its_file_alone(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = SAVED[name]()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.rand_like(parameter))
    torch.save(layer.state_dict(), tmp_path / "augmentation.pt")
    again = restored(torch.load(tmp_path / "augmentation.pt", weights_only=True))
    assert type(again) is type(layer) and again.learned() == layer.learned()
    x = inputs("signal" if "signal" in name else name if name in LAYERS else "affine").float()
    noise = layer.sample(len(x), Generator().manual_seed(0))
    assert torch.equal(again(x, noise), layer(x, noise))
    assert torch.equal(again.eval()(x, noise), layer.eval()(x, noise))


UNLIKE = {
    "another order": (lambda: LearnedAffine((ROTATION, SCALE)), lambda: LearnedAffine((SCALE, ROTATION))),
    "another layer": (lambda: LearnedAffine((ROTATION,)), LearnedFlip),
    "another rate": (lambda: LearnedSignal(100, 100.0), lambda: LearnedSignal(100, 1.0)),
    "another parametrisation": (LearnedAffine, lambda: LearnedAffine(parametrisation=Parametrisation.SOFTPLUS)),
    "another padding": (LieAffine, lambda: LieAffine(padding=Padding.REFLECTION)),
    "another temperature": (AugNetLayer, lambda: AugNetLayer(0.5)),
    "another mode": (lambda: SelectLayer(LearnedAffine()), lambda: SelectLayer(LearnedAffine(), mode=Selection.GUMBEL)),
    "within another": (lambda: Compose(LearnedFlip(), LearnedAffine((ROTATION,))),
                       lambda: Compose(LearnedAffine((ROTATION,)), LearnedFlip())),
}


@pytest.mark.parametrize("which", UNLIKE)
def test_a_state_of_another_layer_is_refused(which: str) -> None:
    """Shapes alone would fit: what was 22 degrees would be a factor of 10,000."""
    one, other = (make() for make in UNLIKE[which])
    with pytest.raises(UserError, match="the state of an equal one only"):
        other.load_state_dict(one.state_dict())
    UNLIKE[which][0]().load_state_dict(one.state_dict())  # negative control: an equal layer takes it


@pytest.mark.parametrize("which", UNLIKE)
def test_nothing_of_a_refused_state_is_taken(which: str) -> None:
    one, other = (make() for make in UNLIKE[which])
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1.0)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(UserError):
        other.load_state_dict(one.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_layer_comes_back_in_its_precision_and_casts_do_not_hurt(dtype: torch.dtype) -> None:
    layer = Compose(LearnedAffine((ROTATION,)), LearnedFlip()).to(dtype)
    again = restored(layer.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), layer.parameters(), strict=True))
    assert next(again.parameters()).dtype == dtype
    averaged = {name: (0.5 * value.float() + 0.5 * value.float()).to(dtype) for name, value in
                layer.state_dict().items()}
    assert restored(averaged).learned() == layer.learned()


def test_caps_are_part_of_the_state() -> None:
    narrow, wide = LearnedAffine((ROTATION,), {ROTATION: 10.0}, 0.5), LearnedAffine((ROTATION,))
    wide.load_state_dict(narrow.state_dict())
    assert wide.learned()[0].high == pytest.approx(5.0) and wide.learned()[0].cap == pytest.approx(10.0)


def test_what_is_no_state_of_a_layer_of_ours_is_refused() -> None:
    with pytest.raises(UserError, match="from the state of one"):
        restored(torch.nn.Linear(2, 2).state_dict())
    with pytest.raises(UserError, match="only layers of this package"):
        restored(OnesOrZeros().state_dict())
    assert made("affine").state_dict().keys() == {"_extra_state", "ranges.logits", "ranges.caps"}

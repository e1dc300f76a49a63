"""Inputs and ranges at the edges: empty batches, other dtypes, names, widths beyond caps, what cannot be exported."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import Generator, nn

from spaces.transforms import Operation
from tests.trainables.modules.augmentation.layers import LAYERS, inputs
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.methods import augerino
from trainables.modules.augmentation import (
    AugmentationLayer,
    Compose,
    InstanceRanges,
    InvariantModel,
    LearnedAffine,
    LearnedColor,
    LearnedFlip,
    LearnedSignal,
    LieAffine,
    Parametrisation,
    range_reward,
)
from trainables.modules.augmentation.pipeline import pipeline, source
from trainables.modules.augmentation.published import AugNetLayer
from trainables.modules.augmentation.ranges import Ranges
from trainables.modules.augmentation.sheet import SHOWN, contact_sheet
from trainables.modules.augmentation.standard import set_widths, standard_layer, widths
from trainables.modules.augmentation.takeaway import export

every = pytest.mark.parametrize("name", [*LAYERS, "instance"])


def fresh(name: str) -> AugmentationLayer:
    return InstanceRanges(LearnedAffine(), (3, 9, 12)) if name == "instance" else LAYERS[name]()


def seen(name: str) -> torch.Tensor:
    return inputs("affine" if name == "instance" else name)


@every
def test_an_empty_batch_stays_one(name: str) -> None:
    layer, x = fresh(name), seen(name)[:0].float()
    out = layer(x, layer.sample(0, Generator().manual_seed(0)))
    assert out.shape == x.shape
    model = InvariantModel(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), layer)
    model.trunk(seen(name).float())
    assert model(x, model.sample(0, Generator().manual_seed(0))).shape == (0, 2)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_inputs_keep_their_precision(name: str, dtype: torch.dtype) -> None:
    """Float32 parameters and noise, as everybody has them; the result is that of float32 up to rounding."""
    layer, x = fresh(name), seen(name).to(dtype)
    noise = layer.sample(len(x), Generator().manual_seed(0))
    out = layer(x, noise)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), layer(x.float(), noise), rtol=0.02, atol=0.02)


def test_softplus_widths_may_lie_beyond_a_cap_and_sigmoid_ones_not() -> None:
    """Nothing but the reward ends at Augerino's cap, so what was found must be buildable there too."""
    found = dict.fromkeys(["translate_x", "translate_y", "rotation", "scale", "stretch", "shear"], 6.5)
    method = augerino.Config(ranges=found).build(toy_context())
    assert list(method.describe().values()) == pytest.approx([6.5] * 6)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="between 0 and its cap"):
        LearnedAffine([Operation.SCALE]).ranges.set_widths([1.0])
    assert Parametrisation.SOFTPLUS is LieAffine().ranges.parametrisation


@pytest.mark.parametrize("logit", [16.0, 17.0, 100.0])
def test_what_was_found_at_its_cap_can_be_put_back(logit: float) -> None:
    """A sigmoid of 17 and more is 1 in float32; its range was the cap, which none may have."""
    shape = (3, 9, 12)
    found, replay = standard_layer(shape), standard_layer(shape)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.fill_(logit)
    set_widths(replay, widths(found))
    assert widths(replay) == pytest.approx({one.name: one.cap for one in found.learned()}, rel=1e-6)
    assert all(bool(parameter.isfinite().all()) for parameter in replay.parameters())
    caps = [0.5, 1.0, *torch.linspace(0.01, 200.0, 999).tolist()]
    many = Ranges(caps, 0.5)
    many.logits.detach().fill_(logit)
    assert bool((many.widths < many.caps).all())
    many.set_widths(many.widths.tolist())


def test_a_range_that_has_nearly_vanished_is_still_paid_for() -> None:
    layer = LearnedAffine([Operation.SCALE])
    with torch.no_grad():
        layer.ranges.logits.fill_(-30.0)
    (gradient,) = torch.autograd.grad(range_reward(layer), layer.ranges.logits)
    assert float(gradient) == pytest.approx(1.0, abs=1e-4)


def test_caps_must_name_operations_of_the_layer() -> None:
    for make in (
        lambda: LearnedAffine([Operation.ROTATION], {"rotatoin": 10.0}),  # type: ignore[dict-item]
        lambda: LearnedColor(caps={Operation.ROTATION: 10.0}),
        lambda: LearnedSignal(50, 10.0, caps={"shift": 1.0}),  # type: ignore[dict-item]
        lambda: standard_layer((3, 9, 12), caps={"phase": 0.1}),
    ):
        with pytest.raises(UserError, match="a cap must name an operation"):
            make()
    assert widths(standard_layer((3, 9, 12), 0.5, {"flip_horizontal": 0.3}))["flip_horizontal"] == pytest.approx(0.15)


def test_names_that_occur_twice_are_told_apart() -> None:
    layer = Compose(LearnedAffine([Operation.ROTATION], start=0.1), LearnedAffine([Operation.ROTATION], start=0.2))
    assert widths(layer) == pytest.approx({"rotation": 18.0, "rotation-2": 36.0})
    set_widths(layer, {"rotation": 5.0, "rotation-2": 50.0})
    assert widths(layer) == pytest.approx({"rotation": 5.0, "rotation-2": 50.0})


def test_the_unit_of_a_shift_says_what_the_rate_is() -> None:
    units = [LearnedSignal(50, rate).learned()[0].unit for rate in (1.0, 100.0)]
    assert units == ["cycles per sample", "Hz"]


def test_a_choice_is_shown_operation_by_operation() -> None:
    """The sheet of a layer that chooses: every row moves, although one operation has nearly all the weight."""
    layer, x = AugNetLayer(start=0.9), inputs("affine", 2).float()
    with torch.no_grad():
        layer.logits[2] += 1
    sheet = contact_sheet(layer, x).view(5, 2, len(SHOWN) + 1, *x.shape[1:])
    moved = (sheet[:, :, 0] - x).abs().amax((1, 2, 3, 4))
    assert bool((moved > 0.01).all()), moved


@pytest.mark.parametrize(
    "layer",
    [
        LearnedColor([Operation.HUE], parametrisation=Parametrisation.SOFTPLUS),
        LearnedColor([Operation.BRIGHTNESS], parametrisation=Parametrisation.SOFTPLUS),
        LearnedAffine([Operation.TRANSLATE_X], parametrisation=Parametrisation.SOFTPLUS),
    ],
)
def test_ranges_that_torchvision_refuses_or_cuts_are_not_written(
    layer: LearnedColor | LearnedAffine, tmp_path: Path
) -> None:
    """Beyond its cap a softplus may get by itself."""
    layer.ranges.set_widths([1.4])
    for make in (pipeline, source):
        with pytest.raises(UserError, match="torchvision"):
            make(layer)
    files = export(layer, torch.zeros(0, len(layer.shares)), torch.zeros(0), inputs("colour").float(), tmp_path)
    assert "pipeline" not in files and not (tmp_path / "augmentation.py").exists()


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_other_numbers_of_channels_leave_what_can_be_left(channels: int, tmp_path: Path) -> None:
    layer = Compose(LearnedAffine(), LearnedFlip(), LearnedColor((Operation.BRIGHTNESS,)))
    x = torch.rand(2, channels, 9, 12)
    files = export(layer, torch.full((3, 8), 0.1), torch.arange(3), x, tmp_path)
    assert set(files) == {"ranges", "layer", "curves"}


def test_a_written_pipeline_is_a_module_that_works(tmp_path: Path) -> None:
    layer = Compose(LearnedAffine(start=0.9), LearnedColor(start=0.9))
    export(layer, torch.zeros(0, 10), torch.zeros(0), inputs("colour").float(), tmp_path)
    spec = importlib.util.spec_from_file_location("learned", tmp_path / "augmentation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = module.augmentation(inputs("colour").float())
    assert out.shape == inputs("colour").shape and math.isfinite(float(out.sum()))

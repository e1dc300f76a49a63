"""What is left for people: the pipeline does what was learned, the sheet shows it, the curves are those of training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scipy.stats import kstest
from torchvision.transforms import v2

from spaces.transforms import GEOMETRIC, Operation, Padding
from tests.trainables.modules.augmentation.layers import BOTH, inputs
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps
from trainables.method import Exports
from trainables.methods import augerino, augnet, fixed_ranges, learned_ranges, lila
from trainables.modules.augmentation import (
    AugmentationLayer,
    Compose,
    InstanceRanges,
    LearnedAffine,
    LearnedColor,
    LearnedFlip,
    LearnedSignal,
    LieAffine,
    SelectLayer,
    SignalOperation,
    restored,
)
from trainables.modules.augmentation.pipeline import pipeline, source
from trainables.modules.augmentation.sheet import SHOWN, contact_sheet, reaches, signal_sheet
from trainables.modules.augmentation.takeaway import curves


def run(text: str) -> v2.Transform:
    names: dict[str, Any] = {}
    exec(text, names)
    made = names["augmentation"]
    assert isinstance(made, v2.Transform)
    return made


@pytest.mark.parametrize(
    "layer",
    [LearnedAffine(), LearnedColor(), LearnedFlip(start=0.9), SelectLayer(LearnedAffine()),
     Compose(LearnedAffine(), LearnedFlip(), LearnedColor())],
)
def test_the_text_makes_the_same_pipeline(layer: Any) -> None:
    x = inputs("colour")[0].float()
    seen = []
    for made in (pipeline(layer), run(source(layer))):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            seen.append(torch.stack([made(x) for _ in range(5)]))
    assert torch.equal(*seen)
    assert not torch.equal(seen[0], x.expand(5, -1, -1, -1))


def test_its_ranges_are_the_learned_ones() -> None:
    """2,000 draws of torchvision's own parameters, uniform in the learned range at 0.1 %; a wider one is rejected."""
    layer = LearnedAffine((Operation.ROTATION, Operation.TRANSLATE_X, Operation.SHEAR_Y), start=0.25)
    affine = pipeline(layer).transforms[0]
    image = [torch.zeros(3, 1000, 1000)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [affine.make_params(image) for _ in range(2000)]
    angles, shifts, shears = ([f(one) for one in drawn] for f in (
        lambda p: p["angle"], lambda p: p["translate"][0] / 1000, lambda p: p["shear"][1]))
    shear = math.degrees(math.atan(0.15))
    for values, half in ((angles, 45.0), (shifts, 0.1125), (shears, shear)):
        assert kstest(values, "uniform", (-half, 2 * half)).pvalue > 1e-3
        assert kstest(values, "uniform", (-1.2 * half, 2.4 * half)).pvalue < 1e-3
    assert all(one["translate"][1] == 0 and one["shear"][0] == 0 for one in drawn)


def test_one_value_of_the_pipeline_is_one_value_of_the_layer() -> None:
    """The same rotation, shift and shear through both, on a smooth image."""
    axis = torch.linspace(-1, 1, 33)
    x = torch.exp(-4 * (axis[:, None].square() + (axis - 0.2).square()))[None, None]
    layer = LearnedAffine((Operation.ROTATION, Operation.TRANSLATE_X, Operation.SHEAR_X), start=0.125)
    shear = -math.degrees(math.atan(0.075))
    shift = round(0.05625 * 33)
    fixed = v2.functional.affine(x, 22.5, [shift, 0], 1.0, [-shear, 0.0], v2.InterpolationMode.BILINEAR)
    eps = torch.tensor([[1.0, 0.5 + shift / 33 / 0.05625 / 2, 1.0]])
    torch.testing.assert_close(layer(x, eps).detach(), fixed, rtol=0, atol=0.02)


def test_every_number_of_the_pipeline_is_the_learned_one() -> None:
    layer = Compose(
        LearnedAffine((Operation.SCALE,), start=0.3), LearnedFlip(BOTH, start=(0.4, 0.8)),
        LearnedColor(start=(0.1, 0.2, 0.3, 0.4)),
    )
    zoom, horizontal, vertical, jitter = pipeline(layer).transforms
    factor = math.exp(0.3 * math.log(2))
    assert zoom.scale == pytest.approx((1 / factor, factor), abs=1e-5)
    assert (type(horizontal), horizontal.p) == (v2.RandomHorizontalFlip, pytest.approx(0.2))
    assert (type(vertical), vertical.p) == (v2.RandomVerticalFlip, pytest.approx(0.4))
    high = {one.name: one.high for one in layer.parts()[2].learned()}
    for name in ("brightness", "contrast", "saturation"):
        assert getattr(jitter, name) == pytest.approx((1 - high[name], 1 + high[name]), abs=1e-5)
    assert jitter.hue == pytest.approx((-high["hue"], high["hue"]), abs=1e-5)
    chosen = SelectLayer(LearnedAffine((Operation.ROTATION, Operation.SCALE)), 1.0)
    with torch.no_grad():
        chosen.logits.copy_(torch.tensor([math.log(4), 0.0]))
    (choice,) = pipeline(chosen).transforms
    assert choice.p == pytest.approx([0.8, 0.2])
    assert [option.transforms[0].degrees[1] for option in choice.transforms] == pytest.approx([22.5, 0.0], abs=1e-5)


def test_the_pipeline_leaves_borders_as_the_layer_does() -> None:
    """An image of ones: what torchvision fills with a colour of zero is blended in a second time."""
    layer, x = LearnedAffine((Operation.ROTATION,), start=0.25), torch.ones(1, 3, 32, 32)
    affine = pipeline(layer).transforms[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        angle = affine.make_params([x])["angle"]
        torch.manual_seed(0)
        turned = affine(x)
    seen = layer(x, torch.tensor([[(angle / 45 + 1) / 2]])).detach()
    torch.testing.assert_close(turned, seen, rtol=0, atol=1e-4)
    assert float((seen < 0.99).float().mean()) > 0.05, "there is a border"


def test_curves_are_the_history_in_units() -> None:
    layer, steps = LearnedAffine((Operation.ROTATION, Operation.SCALE)), torch.arange(3) * 10
    history = torch.tensor([[0.1, 0.2], [0.3, 0.2], [0.5, 0.1]])
    panels = curves(layer, history, steps).axes
    for panel, values, cap in zip(panels, history.T, (180.0, math.log(2)), strict=False):
        drawn, dotted = panel.lines
        assert list(drawn.get_xdata()) == [0, 10, 20]
        assert list(drawn.get_ydata()) == pytest.approx((values * cap).tolist())
        assert list(dotted.get_ydata()) == pytest.approx([cap, cap])


def test_a_sheet_of_signals_goes_from_nothing_to_the_whole_range() -> None:
    layer = LearnedSignal(100, 100.0, operations=[SignalOperation.FREQUENCY_SHIFT, SignalOperation.NOISE], start=0.5)
    x = torch.sin(2 * math.pi * 5 * torch.arange(100) / 100)[None, None]
    sheet = signal_sheet(layer, x)
    assert sheet.shape == (2, len(SHOWN), 1, 100)
    torch.testing.assert_close(sheet[:, 0], x.expand(2, -1, -1), rtol=0, atol=1e-5)
    whole = torch.sin(2 * math.pi * 6 * torch.arange(100) / 100)[None]  # 1 Hz: half of the cap of 2
    torch.testing.assert_close(sheet[0, -1], whole, rtol=0, atol=1e-3)
    added = (sheet[1] - x).abs().mean((1, 2))
    torch.testing.assert_close(added / added[-1], torch.tensor(SHOWN), rtol=0, atol=1e-4)


def shifting(start: float, operations: Sequence[SignalOperation] = tuple(SignalOperation)) -> LearnedSignal:
    return LearnedSignal(100, 100.0, operations=operations, start=start)


NOISE, SHIFT = SignalOperation.NOISE, SignalOperation.FREQUENCY_SHIFT


@pytest.mark.parametrize(("layer", "row"), [
    (shifting(0.5, [NOISE, SHIFT]), 1),
    (InstanceRanges(shifting(0.999), (1, 100), 0.5), 0),
    (SelectLayer(shifting(0.5)), 0),
    (Compose(shifting(0.1, [NOISE]), InstanceRanges(shifting(0.999, [NOISE, SHIFT]), (1, 100), 0.5)), 2),
])
def test_a_sheet_of_signals_shows_the_whole_shift_wherever_it_stands_in_a_layer(
    layer: AugmentationLayer, row: int
) -> None:
    """5 Hz become 6: half of the cap of 2, as the label says; a draw of the shift would be anything below."""
    x = torch.sin(2 * math.pi * 5 * torch.arange(100) / 100)[None, None]
    assert reaches(layer, x)[row] == pytest.approx(1.0, rel=2e-3)
    whole = torch.sin(2 * math.pi * 6 * torch.arange(100) / 100)[None]
    torch.testing.assert_close(signal_sheet(layer, x)[row, -1], whole, rtol=0, atol=0.02)


def test_a_sheet_says_the_ranges_of_the_signal_that_it_shows() -> None:
    """Ranges by input: an average of them would be on another signal's picture."""
    layer = InstanceRanges(shifting(0.999), (1, 100), 0.1)
    with torch.no_grad():
        layer.network[-1].bias.fill_(0.0)  # all inputs: half; the running mean has not heard of it
    x = torch.sin(2 * math.pi * 5 * torch.arange(100) / 100)[None, None]
    assert layer.learned()[0].high == pytest.approx(0.2, rel=2e-3)
    assert reaches(layer, x)[0] == pytest.approx(1.0, rel=2e-3)


def test_noise_alone_is_drawn_and_not_one_spike() -> None:
    layer = LearnedSignal(100, 100.0, operations=[SignalOperation.NOISE], start=0.5)
    added = signal_sheet(layer, torch.zeros(1, 1, 100))[0, -1, 0] / 0.05
    assert float(added.abs().max()) < 4.5 and 0.7 < float(added.std()) < 1.3


def test_what_torchvision_has_not_is_refused() -> None:
    for layer in (LieAffine(), LearnedAffine(padding=Padding.REFLECTION)):
        with pytest.raises(UserError, match="no counterpart"):
            pipeline(layer)


def test_a_contact_sheet_shows_each_operation_alone() -> None:
    layer, x = Compose(LearnedAffine(start=0.9), LearnedColor((Operation.BRIGHTNESS,), start=0.9)), inputs("colour", 2)
    x = x.float()
    sheet = contact_sheet(layer, x).view(7, 2, len(SHOWN) + 1, *x.shape[1:])
    torch.testing.assert_close(sheet[:, :, 2], x.expand(7, -1, -1, -1, -1), rtol=0, atol=1e-5)  # zero in the middle
    turned = layer.parts()[0].augment(x, torch.ones(2, 6), torch.eye(6)[:1].expand(2, -1)).detach()
    torch.testing.assert_close(sheet[0, :, 4], turned.clamp(0, 1))
    brighter = sheet[6, :, 4] - x
    assert float(brighter.min()) >= 0 and float(brighter.max()) > 0.1


@pytest.mark.parametrize("start", [0.1, 0.9])
@pytest.mark.parametrize("wrap", [lambda layer: layer, SelectLayer, lambda layer: InstanceRanges(layer, (3, 9, 12))])
def test_a_contact_sheet_shows_flips_off_and_on(wrap: Any, start: float) -> None:
    """Whatever their probability; the operation beside them is shown as without them."""
    flips = LearnedFlip((Operation.FLIP_HORIZONTAL, Operation.FLIP_VERTICAL), start=start)
    layer, x = wrap(Compose(LearnedAffine((Operation.ROTATION,), start=0.3), flips)), inputs("colour", 2).float()
    sheet = contact_sheet(layer, x).view(3, 2, len(SHOWN) + 1, *x.shape[1:])
    for row, axis in ((1, -1), (2, -2)):
        for column in range(len(SHOWN)):
            torch.testing.assert_close(sheet[row, :, column], x.flip(axis) if column > 2 else x, rtol=0, atol=1e-5)
    assert not torch.allclose(x, x.flip(-1), atol=0.01) and not torch.allclose(sheet[0, :, 0], x, atol=0.01)
    torch.testing.assert_close(sheet[0, :, 2], x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [
    fixed_ranges.Config(ranges={"rotation": 15.0, "flip_horizontal": 0.5}),
    lila.Config(ranges=dict.fromkeys(GEOMETRIC, 0.1), copies=2),
])
def test_files_of_a_fixed_augmentation(config: Any, tmp_path: Path) -> None:
    """All but the curves."""
    method = config.build(toy_context())
    assert isinstance(method, Exports)
    files = method.export(tmp_path)
    assert set(files) == {"ranges", "layer", "pipeline", "contact_sheet"}
    assert all((tmp_path / name).stat().st_size for name in files.values())
    again = restored(torch.load(tmp_path / files["layer"], weights_only=True))
    found = {one.name: one.high for one in again.learned()}
    assert found == pytest.approx(config.ranges, rel=1e-5)
    assert [one["name"] for one in json.loads((tmp_path / "ranges.json").read_text())] == list(found)


@pytest.mark.parametrize("module", [learned_ranges, augerino, augnet])
def test_files_of_a_training(module: Any, tmp_path: Path) -> None:
    context = replace(toy_context(), horizon=450, slice_updates=150)
    method = module.Config().build(context)
    for _ in steps(method):
        pass
    assert isinstance(method, Exports)
    files = method.export(tmp_path)
    written = json.loads((tmp_path / files["ranges"]).read_text())
    assert [one["high"] for one in written] == [one.high for one in method.layer.learned()]
    again = module.Config().build(toy_context()).layer
    again.load_state_dict(torch.load(tmp_path / files["layer"], weights_only=True))
    assert torch.equal(again.shares, method.layer.shares)
    history = method.state_dict()["history"]
    assert len(history) == 150 and bool((history > 0).all())
    assert ("pipeline" in files) is (module is not augerino)
    for name in ("curves", "contact_sheet"):
        with Image.open(tmp_path / files[name]) as image:
            assert min(image.size) > 20

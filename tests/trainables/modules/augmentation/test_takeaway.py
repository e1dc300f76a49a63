"""What is left for people: the pipeline does what was learned, the sheet shows it, the curves are those of training."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scipy.stats import kstest
from torchvision.transforms import v2

from spaces.transforms import Operation, Padding
from tests.trainables.modules.augmentation.layers import inputs
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps
from trainables.method import Exports
from trainables.methods import augerino, augnet, learned_ranges
from trainables.modules.augmentation import Compose, LearnedAffine, LearnedColor, LearnedFlip, LieAffine, SelectLayer
from trainables.modules.augmentation.pipeline import pipeline, source
from trainables.modules.augmentation.takeaway import SHOWN, contact_sheet


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

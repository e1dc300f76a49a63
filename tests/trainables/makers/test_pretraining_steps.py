"""One update of a pre-training by hand: calibration, emphasis, noise, clipping, the average of the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from tests.trainables.makers.test_amortised_extractor import Blobs, build
from trainables.method import Role
from trainables.modules import pretraining
from trainables.modules.contrast import calibration, centred_cosine
from trainables.modules.control import Probe, features, invariance
from trainables.modules.extractor import Extractor
from trainables.modules.pretraining import CLIP, EMA_HORIZON, MEASURED
from trainables.modules.views import NOISE, draw_views, pixel_noise


def images() -> Tensor:
    return Blobs().unlabelled(Generator().manual_seed(0), 12).view(3, 4, 1, 12, 12)


def test_an_entry_asks_for_the_invariance_of_its_own_factor() -> None:
    """Entry of the group's factor; first and third views under the group's descriptor; change as it was drawn."""
    maker, _ = build({"looks": 0, "sensitivity": 0.0})
    with torch.no_grad():
        x = images()
        drawn = maker._draw(x)
        losses = maker._losses(x, drawn)
        seen = pretraining.render(maker._family, x, drawn.views.theta, drawn.noise)
        wanted, similar = [], []
        for group in range(3):
            response = maker._model.extractor.stem(seen[group])
            features = maker._model.extractor.tail(response[None], drawn.descriptors[group : group + 1])[0]
            first, _, third = features.chunk(3)
            similar.append(centred_cosine(first[None], third[None])[0])
            entry = drawn.descriptors[group, drawn.views.factor[group]]
            wanted.append(1 - (1 - entry) * (1 - torch.exp(-2 * drawn.views.change[group])))
        by_hand = (torch.stack(similar) - torch.stack(wanted)).square().mean()
    assert float(losses[2]) == pytest.approx(float(by_hand), rel=1e-4)
    entries = drawn.descriptors.gather(1, drawn.views.factor[:, None])
    turned = calibration(torch.stack(similar), 1 - entries, drawn.views.change)
    assert abs(float(turned) - float(by_hand)) > 1e-3  # the negative control


def test_emphasis_says_how_often_a_factor_is_the_one() -> None:
    """Only rotation and blur, three to one: 2,400 groups, so 4 standard errors are .035 (false alarm 6e-5)."""
    zero = dict.fromkeys(("translation", "scale", "shear", "brightness", "contrast"), 0.0)
    maker, _ = build({"emphasis": {"rotation": 3.0, "blur": 1.0, **zero}, "groups": 120})
    x = Blobs().unlabelled(Generator().manual_seed(0), 480).view(120, 4, 1, 12, 12)
    drawn = torch.cat([maker._draw(x).views.factor for _ in range(20)])
    counts = torch.bincount(drawn, minlength=7) / len(drawn)
    assert counts[1:6].sum() == 0
    assert float(counts[0]) == pytest.approx(0.75, abs=0.035)


def test_views_carry_noise_of_the_stated_size() -> None:
    maker, _ = build({})
    x = images()
    assert float(maker._draw(x).noise.std()) == pytest.approx(NOISE, rel=0.1)  # 5,184 numbers: ten standard errors
    assert float(pixel_noise(1, x, Generator().manual_seed(0)).std()) > 0


@pytest.mark.parametrize("settings", [{}, {"sensitivity": 300.0}], ids=["small", "large"])
def test_gradients_are_clipped_to_norm_one(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    maker, _ = build(settings)
    norms: list[float] = []
    step = maker._optimiser.step

    def spy() -> Any:
        parts = [parameter.grad.norm() for parameter in maker._model.parameters() if parameter.grad is not None]
        norms.append(float(torch.stack(parts).norm()))
        return step()

    monkeypatch.setattr(maker._optimiser, "step", spy)
    maker._update()
    assert norms[0] <= CLIP * (1 + 1e-4)
    assert not settings or norms[0] > 0.99 * CLIP  # a gradient of norm 300 or so


def test_what_is_exported_is_the_exponential_average() -> None:
    """a <- a + r (w - a) with r = 20 / horizon from the second update on; the first is taken whole."""
    maker, _ = build({"horizon": 100})
    expected: dict[str, Tensor] = {}
    for update in range(4):
        maker._update()
        for name, value in maker._model.extractor.state_dict().items():
            rate = EMA_HORIZON / 100 if update else 1.0
            expected[name] = value.clone() if not update else torch.lerp(expected[name], value, rate)
    for name, value in maker._average.items():
        assert_close(value, expected[name], rtol=1e-6, atol=1e-7)
    last = maker._model.extractor.state_dict()
    assert any(not torch.equal(value, last[name]) for name, value in maker._average.items())


def test_omitted_factors_do_not_move_in_the_papers_views() -> None:
    maker, _ = build({"views": "omit", "descriptors": "corners", "groups": 12})
    drawn = maker._draw(Blobs().unlabelled(Generator().manual_seed(0), 48).view(12, 4, 1, 12, 12))
    off = (maker._family.spread(drawn.descriptors) == 0)[None, :, None].expand_as(drawn.views.theta[:2])
    assert off.any() and float(drawn.views.theta[:2][off].abs().max()) == 0
    assert float(drawn.views.theta[:2][~off].abs().min()) > 0
    shared, _ = build({"descriptors": "corners", "groups": 12})  # ours: the pair shares what is off
    theta = draw_views(
        shared._family, drawn.descriptors, 4, shared._config.views, torch.ones(7), Generator().manual_seed(0)
    ).theta
    assert float(theta[0][off[0]].abs().min()) > 0 and torch.equal(theta[0][off[0]], theta[1][off[0]])


def test_what_it_does_on_the_pool_is_kept_with_the_centre_it_was_measured_about() -> None:
    """The same images and draws again, through the exported weights."""
    maker, _ = build({})
    maker.step()
    made = Extractor(maker.result())
    x = Blobs().unlabelled(maker._context.generator(Role.ORDER, 1), MEASURED)
    probe, on = Probe.draw(made, x, Generator().manual_seed(0)), torch.ones(1, 7)
    centre = features(made, probe.plain, on)[0].mean(0)
    assert made.reference is not None
    assert_close(made.reference.centre, centre)
    assert_close(made.reference.invariance, invariance(probe, on, centre)[0])
    assert float(centre.norm()) > 0.1  # features have length one, and one direction in common

"""What a pre-training renders and pays for: three views where a loss asks for the third, else two."""

from __future__ import annotations

from typing import Any

import pytest
from torch.testing import assert_close

from tests.trainables.makers.test_amortised_extractor import PAPERS, build, run, weights
from tracking.cost import Phase
from trainables.modules.amortised import NO_CONTROL

FIXED = {"descriptors": "fixed", "fixed_entry": 1.0, **NO_CONTROL}
NEARLY = dict.fromkeys(("sensitivity",), 1e-30)  # asks for the third view and changes nothing


@pytest.mark.parametrize("settings", [FIXED, PAPERS], ids=["unconditional", "papers"])
def test_controls_pay_for_two_views_and_become_what_three_views_made_of_them(settings: dict[str, Any]) -> None:
    """Stem and tail run over two thirds of the images; what is drawn stays, so that all rows see the same ones."""
    (two, paid), (three, dearer) = build(settings), build({**settings, **NEARLY})
    metrics, more = run(two), run(three)
    less, all_three = (meter.ledger().phases[Phase.PRETRAIN] for meter in (paid, dearer))
    assert less.examples / all_three.examples == pytest.approx(2 / 3, abs=0.01)
    assert 0.5 < less.flops / all_three.flops < 0.75
    assert metrics[0]["pretrain/contrast"] == pytest.approx(more[0]["pretrain/contrast"], rel=1e-4)
    assert metrics[0]["pretrain/calibration"] == 0 < more[0]["pretrain/calibration"]
    expected, found = weights(three), weights(two)
    for name, value in found.items():
        assert_close(value, expected[name], rtol=1e-3, atol=1e-4)


def test_control_another_seed_makes_something_else() -> None:
    one, other = (build(FIXED, seed=seed)[0] for seed in (0, 1))
    run(one), run(other)
    assert any((weights(other)[name] - value).abs().max() > 1e-2 for name, value in weights(one).items())

"""Glyphs and sinusoids: what is drawn is what the truth says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spaces.transforms import AffineParameters, affine_matrix, warp
from trainables.problems.glyphs import Config as Glyphs
from trainables.problems.problem import Split
from trainables.problems.sinusoids import FREQUENCIES, RATE, SHIFT
from trainables.problems.sinusoids import Config as Sinusoids


def test_glyphs_have_four_equal_classes_inside_the_image() -> None:
    data = Glyphs(images=400, test=100).load(0)
    x = data.pool[Split.TRAIN]
    assert x.shape == (400, 3, 32, 32) and x.dtype == np.uint8
    assert np.bincount(data.pool_y).tolist() == [100] * 4
    ring = x[..., 0, :].astype(int).sum() + x[..., -1, :].astype(int).sum()
    assert ring == 0, "nothing is cut off at the border"


def test_a_glyph_without_spread_is_upright_or_upside_down_and_asymmetric() -> None:
    data = Glyphs(images=40, test=16, spread=0).load(0)
    x, y = torch.from_numpy(data.pool[Split.TRAIN]).float() / 255, torch.from_numpy(data.pool_y)
    for glyph in (0, 1):
        upright, upside_down = x[y == 2 * glyph], x[y == 2 * glyph + 1]
        assert torch.equal(upright, upright[:1].expand_as(upright))
        torch.testing.assert_close(upside_down[0], upright[0].flip(-1, -2), rtol=0, atol=0.01)
        for other in (upright[0].flip(-1), upright[0].flip(-2), upright[0].flip(-1, -2)):
            assert float((upright[0] - other).abs().mean()) > 0.05


def test_angles_stay_within_the_spread_and_fill_it() -> None:
    """The angle is found by turning the upright glyph over a grid."""
    data = Glyphs(images=80, test=16).load(3)
    upright = torch.from_numpy(Glyphs(images=16, test=16, spread=0).load(0).pool[Split.TRAIN]).float()
    y = Glyphs(images=16, test=16, spread=0).load(0).pool_y
    reference = upright[int(np.flatnonzero(y == 0)[0])]
    grid = torch.arange(-90.0, 91.0, 2.0)
    turned = warp(reference.expand(len(grid), -1, -1, -1), affine_matrix(AffineParameters(rotation_deg=grid), 32, 32))
    seen = torch.from_numpy(data.pool[Split.TRAIN][data.pool_y == 0]).float()
    angles = grid[(seen[:, None] - turned).square().sum((2, 3, 4)).argmin(1)]
    assert float(angles.abs().max()) <= 46
    assert float(angles.max() - angles.min()) > 60


def test_truths() -> None:
    assert Glyphs(images=16, test=16).load(0).truth.invariant == {"rotation": 45.0}  # type: ignore[union-attr]
    touching = Glyphs(images=16, test=16, spread=90).load(0).truth
    assert touching is not None and not touching.invariant and touching.harmful == {"rotation": 90.0}
    for jitter in (0.0, 0.5, 0.9):
        heard = Sinusoids(per_class=12, jitter=jitter).load(0).truth
        assert heard is not None and heard.harmful == {SHIFT: 2.0}
        assert heard.invariant[SHIFT] + jitter == pytest.approx(1.0)  # half-way between two classes


def test_sinusoids_have_their_frequencies_and_a_shift_moves_them() -> None:
    data = Sinusoids(per_class=60, noise=0.1).load(0)
    x, y = data.pool[Split.TRAIN], data.pool_y
    assert x.shape == (160, 1, 1000) and len(data.test_y) == 80
    peaks = _peaks(x[:, 0])
    away = peaks - np.asarray(FREQUENCIES)[y]
    assert np.abs(away).max() <= 0.55 and np.abs(away).max() > 0.35
    action = data.actions()[SHIFT]
    moved = action.apply(torch.from_numpy(x), torch.full((len(x),), 0.5)).numpy()
    assert np.abs(_peaks(moved[:, 0]) - peaks - 0.5 * action.limit).max() <= 0.11


def _peaks(x: np.ndarray) -> np.ndarray:
    spectrum = np.abs(np.fft.rfft(x))
    return np.fft.rfftfreq(x.shape[-1], 1 / RATE)[spectrum.argmax(-1)]

"""Signals against closed forms and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import hilbert as analytic
from scipy.stats import kstest, norm
from torch import Tensor

from spaces.signals import frequency_shift, hilbert, phase_surrogate
from tests.trainables.modules.augmentation.layers import inputs, noise
from tracking.errors import UserError
from trainables.modules.augmentation import LearnedSignal, SignalOperation
from trainables.modules.augmentation.signals import gaussian

RATE, LENGTH = 100.0, 1000


def tone(hertz: float, length: int = LENGTH) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(length, dtype=torch.float64) / RATE)[None, None]


def test_a_tone_moves_by_so_many_hertz() -> None:
    for by in (0.5, -2.0, 0.0):
        moved = frequency_shift(tone(6), torch.tensor([by], dtype=torch.float64), RATE)
        torch.testing.assert_close(moved, tone(6 + by), rtol=0, atol=1e-9 if by else 0)


@pytest.mark.parametrize("length", [64, 63])
def test_the_hilbert_transform_is_scipys(length: int) -> None:
    x = torch.randn(3, 2, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(hilbert(x).numpy(), np.imag(analytic(x.numpy())), atol=1e-12)


@pytest.mark.parametrize("length", [64, 63])
def test_a_surrogate_keeps_the_spectrum_and_the_relations_of_channels(length: int) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, length, generator=g, dtype=torch.float64)
    turns = torch.rand(2, length // 2 + 1, generator=g, dtype=torch.float64)
    y = phase_surrogate(x, turns)
    before, after = torch.fft.rfft(x), torch.fft.rfft(y)
    torch.testing.assert_close(after.abs(), before.abs())
    torch.testing.assert_close(after[:, 0] * after[:, 1].conj(), before[:, 0] * before[:, 1].conj())
    assert not torch.allclose(x, y)
    torch.testing.assert_close(y.mean(-1), x.mean(-1))


def test_noise_is_normal() -> None:
    """Kolmogorov-Smirnov at 0.1 %; a wider normal is rejected."""
    layer = LearnedSignal(LENGTH, RATE, operations=[SignalOperation.NOISE], start=0.5).double()
    x = torch.zeros(4, 1, LENGTH, dtype=torch.float64)
    added = layer(x, noise(layer, 4)).detach().flatten().numpy()
    assert kstest(added, norm(scale=0.05).cdf).pvalue > 1e-3
    assert kstest(added, norm(scale=0.06).cdf).pvalue < 1e-3
    assert bool(gaussian(torch.tensor([0.0, 1.0])).isfinite().all())


def test_a_layers_shift_goes_both_ways_to_the_end_of_its_range() -> None:
    layer = LearnedSignal(LENGTH, RATE, operations=[SignalOperation.FREQUENCY_SHIFT], start=0.75).double()
    for number, hertz in ((0.0, 4.5), (0.5, 6.0), (1.0, 7.5)):
        moved = layer(tone(6), torch.tensor([[number]], dtype=torch.float64)).detach()
        torch.testing.assert_close(moved, tone(hertz), rtol=0, atol=1e-6)


def test_a_layers_phase_goes_to_the_end_of_its_range() -> None:
    """All coefficients earlier by r turns: a sine becomes sin(2 pi (f t - r))."""
    layer = LearnedSignal(LENGTH, RATE, operations=[SignalOperation.PHASE], start=0.5).double()
    turned = layer(tone(6), torch.ones(1, LENGTH // 2 + 1, dtype=torch.float64)).detach()
    angle = 2 * math.pi * (6 * torch.arange(LENGTH, dtype=torch.float64) / RATE)
    expected = {sign: torch.sin(angle + sign * 2 * math.pi * 0.05)[None, None] for sign in (-1, 1)}
    near = {sign: float((turned - wave).abs().max()) for sign, wave in expected.items()}
    assert min(near.values()) < 1e-6, near


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="half the rate"):
        LearnedSignal(100, 3.0, caps={SignalOperation.FREQUENCY_SHIFT: 2.0})
    with pytest.raises(UserError, match="for signals"):
        LearnedSignal(100, 100.0)(inputs("colour"), torch.rand(3, 152))
    with pytest.raises(UserError, match="each of its operations once"):
        LearnedSignal(100, 100.0, operations=[])

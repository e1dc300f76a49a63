"""Differentiable transformations of periodic signals (B, C, L), one value per signal; value 0 is the identity."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def frequency_shift(x: Tensor, hertz: Tensor, rate: float) -> Tensor:
    """(B, C, L) with all frequencies moved by hertz (B,); exactly x at 0."""
    t = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device) / rate
    angle = (2 * math.pi * hertz[:, None] * t).unsqueeze(1)
    return x * angle.cos() - hilbert(x) * angle.sin()


def hilbert(x: Tensor) -> Tensor:
    """The Hilbert transform (B, C, L): phases later by a quarter turn; constants and the Nyquist frequency vanish."""
    spectrum = torch.fft.rfft(x)
    keep = torch.ones(spectrum.shape[-1], dtype=x.dtype, device=x.device)
    keep[0] = 0.0
    if x.shape[-1] % 2 == 0:
        keep[-1] = 0.0
    quarter = torch.complex(torch.zeros_like(keep), -keep)
    transformed: Tensor = torch.fft.irfft(spectrum * quarter, n=x.shape[-1])
    return transformed


def phase_surrogate(x: Tensor, turns: Tensor) -> Tensor:
    """(B, C, L) with the phase of coefficient f earlier by turns (B, F); the spectrum's moduli stay."""
    angle = 2 * math.pi * turns.unsqueeze(1)
    inner = turns.new_ones(turns.shape[-1])
    inner[..., 0] = 0.0  # a constant has no phase
    if x.shape[-1] % 2 == 0:
        inner[..., -1] = 0.0
    angle = angle * inner
    turned: Tensor = torch.fft.irfft(torch.fft.rfft(x) * torch.polar(torch.ones_like(angle), angle), n=x.shape[-1])
    return turned

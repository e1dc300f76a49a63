"""Group actions on 1-D signals (B, C, L)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from trainables.problems.problem import Action

TONE = 0.25  # cycles per sample: one fixed frequency, the farthest from both 0 and the Nyquist frequency
DEFAULTS = {"time_shift": 0.5, "amplitude": 1.0, "tone": 0.5}


def signal_bank(limits: Mapping[str, float]) -> tuple[Action, ...]:
    """Circular time shift, amplitude, and an additive tone.

    Args:
        limits: action name -> physical maximum, where it is not the default.
    """
    shift, gain, tone = (limits.get(name, default) for name, default in DEFAULTS.items())
    return (
        Action("time_shift", "fraction of length", shift, True, partial(_time_shift, shift)),
        Action("amplitude", "log2 factor", gain, True, partial(_amplitude, gain)),
        Action("tone", "amplitude", tone, True, partial(_tone, tone)),
    )


def _time_shift(limit: float, x: Tensor, v: Tensor) -> Tensor:
    """x(t - s L) with s = v * limit: each Fourier coefficient turned by exp(-2 pi i k s).

    Exact for whole samples, band-limited in between, and smooth in v; the group law T_a T_b = T_{a+b} holds
    up to the Nyquist coefficient of an even L, of which a real signal keeps the real part only.
    """
    length = x.shape[-1]
    k = torch.arange(length // 2 + 1, device=x.device, dtype=x.dtype)
    angle = -2 * math.pi * limit * v[:, None, None] * k  # (B, 1, L // 2 + 1)
    turned = torch.fft.rfft(x) * torch.polar(torch.ones_like(angle), angle)
    shifted: Tensor = torch.fft.irfft(turned, n=length)
    return shifted


def _amplitude(limit: float, x: Tensor, v: Tensor) -> Tensor:
    return x * torch.exp2(limit * v)[:, None, None]


def _tone(limit: float, x: Tensor, v: Tensor) -> Tensor:
    t = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)
    return x + (limit * v)[:, None, None] * torch.sin(2 * math.pi * TONE * t)

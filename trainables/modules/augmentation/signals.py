"""Learned transformations of signals: frequency shift, phase surrogates, noise.

Axes: B signals (B, C, L), F = L // 2 + 1 frequencies, Q operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar

import torch
from torch import Tensor

from spaces.signals import frequency_shift, phase_surrogate
from tracking.errors import UserError
from trainables.modules.augmentation.ranged import RangedLayer
from trainables.modules.augmentation.ranges import Parametrisation


class SignalOperation(StrEnum):
    """What may be learned on signals."""

    FREQUENCY_SHIFT = "frequency_shift"  # all frequencies by v ~ U(-r, r) Hz
    PHASE = "phase"                      # each Fourier coefficient's phase earlier by U(0, r) turns (surrogate data)
    NOISE = "noise"                      # white Gaussian noise of standard deviation r


CAPS: Mapping[SignalOperation, float] = {SignalOperation.PHASE: 0.1, SignalOperation.NOISE: 0.1}
SHIFT_CAP = 0.02  # of the sampling rate: 2 Hz at 100 Hz, as published
UNITS = {SignalOperation.PHASE: "turn", SignalOperation.NOISE: "std"}
ALL = tuple(SignalOperation)


class LearnedSignal(RangedLayer[SignalOperation]):
    """Frequency shift of the analytic signal, then phase surrogates, then noise, each in a learned range.

    The shift multiplies the analytic signal by exp(2 pi i v t) and keeps the real part; the surrogate turns the phases
    of all channels alike, so relations between channels survive. Signals are periodic: nothing is padded (the published
    code pads to a power of two, which moves the frequencies' grid).

    Args:
        length: L, in samples.
        rate: samples per second; at 1, frequencies are in cycles per sample.
        channels: C; noise is independent in each.
        operations: each once.
        caps: largest ranges where they differ from `CAPS` and SHIFT_CAP.
        start: see `Ranges`.

    Raises:
        UserError: operations that repeat, a cap beyond the Nyquist frequency or a whole turn.
    """

    MEANINGFUL: ClassVar[Mapping[str, float]] = {SignalOperation.PHASE: 1.0}

    def __init__(
        self, length: int, rate: float, channels: int = 1, operations: Sequence[SignalOperation] = ALL,
        caps: Mapping[SignalOperation, float] | None = None, start: float | Sequence[float] = 1 / 8,
        parametrisation: Parametrisation = Parametrisation.SIGMOID,
    ) -> None:
        known = {SignalOperation.FREQUENCY_SHIFT: SHIFT_CAP * rate, **CAPS}
        units = {**UNITS, SignalOperation.FREQUENCY_SHIFT: "cycles per sample" if rate == 1 else "Hz"}
        super().__init__(operations, known, units, caps, start, parametrisation)
        shift = dict(zip(operations, self.ranges.caps.tolist(), strict=True)).get(SignalOperation.FREQUENCY_SHIFT, 0.0)
        if shift > rate / 2:
            raise UserError(f"a frequency shift may reach to half the rate, {rate / 2:g} Hz", shift)
        self.length, self.rate, self.channels = length, rate, channels

    def configuration(self) -> dict[str, Any]:
        own = {"length": self.length, "rate": float(self.rate), "channels": self.channels}
        return {**super().configuration(), **own}

    def noise_size(self) -> int:
        return sum(self._sizes())

    def noise_of(self, operation: SignalOperation) -> list[int]:
        """Which of the noise numbers an operation takes; none where it is not among the layer's."""
        if operation not in self.operations:
            return []
        place, sizes = self.operations.index(operation), self._sizes()
        return list(range(sum(sizes[:place]), sum(sizes[: place + 1])))

    def bounds(self, operation: SignalOperation, width: float) -> tuple[float, float]:
        """Shifts go both ways; a phase moves one way, and a standard deviation has no sign."""
        return -width if operation is SignalOperation.FREQUENCY_SHIFT else 0.0, width

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().check(shape, dtype)
        if tuple(shape) != (self.channels, self.length):
            raise UserError(f"this layer is for signals ({self.channels}, {self.length})", tuple(shape),
                            "images take `LearnedAffine` and `LearnedColor`")

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        widths = self.ranges.widths.expand(len(x), -1)
        widths = (widths if active is None else widths * active).to(wide.dtype)
        pieces = torch.split(noise.to(wide.dtype), self._sizes(), -1)
        for operation, own, width in zip(self.operations, pieces, widths.unbind(-1), strict=True):
            wide = self._applied(operation, wide, own, width)
        return wide.to(x.dtype)

    def _applied(self, operation: SignalOperation, x: Tensor, noise: Tensor, width: Tensor) -> Tensor:
        if operation is SignalOperation.FREQUENCY_SHIFT:
            return frequency_shift(x, (2 * noise[:, 0] - 1) * width, self.rate)
        if operation is SignalOperation.PHASE:
            return phase_surrogate(x, noise * width[:, None])
        return x + width[:, None, None] * gaussian(noise).view_as(x)

    def _sizes(self) -> list[int]:
        sizes = {
            SignalOperation.FREQUENCY_SHIFT: 1, SignalOperation.PHASE: self.length // 2 + 1,
            SignalOperation.NOISE: self.channels * self.length,
        }
        return [sizes[operation] for operation in self.operations]


def gaussian(noise: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) as standard normal ones, by the inverse distribution function."""
    edge = torch.finfo(noise.dtype).eps / 2
    return math.sqrt(2) * torch.erfinv(2 * noise.clamp(edge, 1 - edge) - 1)

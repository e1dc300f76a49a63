"""Noisy sinusoids of four frequencies: how far may a signal be shifted in frequency? (AugNet's second study.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from spaces.signals import frequency_shift
from trainables.problems.dataset import Array, Dataset, SourceConfig, labelled, stream
from trainables.problems.problem import Action, Truth
from trainables.problems.signal_bank import signal_bank

FREQUENCIES = (2.0, 4.0, 6.0, 8.0)  # Hz, one per class
RATE, SECONDS = 100.0, 10.0
SHIFT = "frequency_shift"


class Config(SourceConfig):
    """sin(2 pi (f + d) t + phase) + noise, f in {2, 4, 6, 8} Hz the class, d ~ U(-jitter, jitter), 10 s at 100 Hz.

    AugNet's study (Rommel et al. 2022): 600 signals, of which a third is the test set. Classes are 2 Hz apart, so a
    shift may safely add 1 Hz less the jitter: 0.5 Hz in the study.

    Args:
        per_class: signals of each class, pool and test together.
        jitter: half-width of d in Hz.
        noise: standard deviation of white Gaussian noise; the sinusoid's amplitude is one.
    """

    name: ClassVar[str] = "sinusoids"

    per_class: int = Field(default=150, ge=12)
    jitter: float = Field(default=0.5, ge=0, lt=1)
    noise: float = Field(default=0.5, ge=0)

    def load(self, seed: int) -> Dataset:
        held_out = self.per_class // 3
        pool = _drawn(self, "pool", self.per_class - held_out, seed)
        test = _drawn(self, "test", held_out, seed)
        data = labelled(*pool, *test, tuple(f"{f:g} Hz" for f in FREQUENCIES))
        step = float(np.diff(FREQUENCIES).min())
        truth = Truth(invariant={SHIFT: step / 2 - self.jitter}, harmful={SHIFT: step})
        return replace(data, truth=truth, bank=self.bank)

    def bank(self, shape: tuple[int, ...], limits: Mapping[str, float]) -> tuple[Action, ...]:
        """The shift in frequency, and the actions of all signals."""
        limit = limits.get(SHIFT, 2.0)
        return Action(SHIFT, "Hz", limit, True, partial(_shifted, limit)), *signal_bank(limits)


def _drawn(config: Config, part: str, per_class: int, seed: int) -> tuple[Array, Array]:
    generator = stream("sinusoids", part, seed)
    y = generator.permutation(np.repeat(np.arange(len(FREQUENCIES), dtype=np.int64), per_class))
    frequency = np.asarray(FREQUENCIES)[y] + generator.uniform(-config.jitter, config.jitter, len(y))
    phase = generator.uniform(0, 2 * np.pi, len(y))
    t = np.arange(int(RATE * SECONDS)) / RATE
    clean = np.sin(2 * np.pi * frequency[:, None] * t + phase[:, None])
    return (clean + config.noise * generator.standard_normal(clean.shape)).astype(np.float32)[:, None], y


def _shifted(limit: float, x: Tensor, v: Tensor) -> Tensor:
    return frequency_shift(x, limit * v, RATE)

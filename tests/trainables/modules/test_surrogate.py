"""The quadratic through random descriptors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from trainables.modules.surrogate import fit_quadratic, monomials

GRID = torch.linspace(math.log(1e-8), math.log(1e2), 15, dtype=torch.float64)


def quadratic(at: Tensor) -> Tensor:
    """Minimum at (0.3, 1, 0, 0.5), one mixed term."""
    a, b, c, d = at.double().unbind(-1)
    return (a - 0.3).square() - 0.4 * b + 0.7 * c + 0.2 * (d - 0.5).square() + 0.1 * (a - 0.3) * (d - 0.5)


def check_fits(truth: Tensor, predicted: Tensor) -> None:
    assert float((truth - predicted).abs().max()) < 0.01 * float(truth.std())


def test_recovers_a_quadratic() -> None:
    generator = Generator().manual_seed(0)
    seen, unseen = torch.rand(40, 4, generator=generator), torch.rand(200, 4, generator=generator)
    head = fit_quadratic(seen, quadratic(seen), GRID)
    check_fits(quadratic(unseen), head.predict(monomials(unseen)).squeeze(-1))
    linear = fit_quadratic(seen, quadratic(seen).roll(1), GRID)
    with pytest.raises(AssertionError):
        check_fits(quadratic(unseen), linear.predict(monomials(unseen)).squeeze(-1))


def test_number_of_terms() -> None:
    assert monomials(torch.zeros(2, 8)).shape == (2, 8 * 11 // 2)

"""What a descriptor does, measured on synthetic extractors for which the answer is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from scipy.stats import spearmanr
from torch import Generator, Tensor

from spaces.descriptors import Factor, Family
from trainables.modules import control
from trainables.modules.control import Probe
from trainables.modules.spectrum import effective_rank, norm_ratio

IMAGES, CONTENT = 200, 3


class Stamped(Family):
    """A transformation writes its parameters into the last row of the image, where an extractor can read them."""

    def apply(self, x: Tensor, theta: Tensor) -> Tensor:
        last = torch.zeros_like(x[..., -1:, :])
        last[..., 0, 0, : theta.shape[-1]] = theta
        return torch.cat((x[..., :-1, :], last), -2)


FAMILY = Stamped(factors=(Factor.ROTATION, Factor.TRANSLATION, Factor.BLUR))


@dataclass(frozen=True)
class Synthetic:
    """Features [content, weight_kj(i) theta_j]: how much of theta the descriptor (M, K) keeps is known.

    Args:
        mix: (K, K) that turns what the descriptor keeps, 1 - i, into what each factor's parameters are scaled by.
        noise: of the features, so that nothing is read exactly.
    """

    mix: Tensor
    family: Family = FAMILY

    def respond(self, x: Tensor) -> Tensor:
        return x[:, 0]

    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor:
        theta = response[:, -1, : len(self.family.operations)]
        kept = self.family.spread((1 - descriptors) @ self.mix.T)
        return torch.cat((response[:, 0, :CONTENT].expand(len(descriptors), -1, -1), kept[:, None] * theta), -1)


def probe(mix: Tensor, seed: int = 0) -> Probe:
    generator = Generator().manual_seed(seed)
    x = torch.randn(IMAGES, 1, 4, 8, generator=generator)
    return Probe.draw(Synthetic(mix), FAMILY.apply(x, torch.zeros(IMAGES, 4)), generator)


SEPARATE, IGNORED = torch.eye(3), torch.zeros(3, 3)


@pytest.mark.parametrize("rest", [0.0, 0.5, 1.0])
def test_what_a_descriptor_keeps_lowers_the_curve(rest: float) -> None:
    curves = control.invariance_curves(probe(SEPARATE), rest)
    assert curves.shape == (3, control.POINTS)
    assert (curves.diff(dim=-1) > 0).all()
    assert torch.allclose(control.monotony(curves), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(curves[:, -1], torch.ones(3), atol=1e-5)  # nothing of the factor is left
    falling = control.monotony(curves.flip(-1))  # negative control: an entry that means the opposite
    assert torch.allclose(falling, -torch.ones(3, dtype=torch.float64))


def test_an_extractor_that_ignores_its_descriptor_has_a_flat_curve() -> None:
    curves = control.invariance_curves(probe(IGNORED), 0.5)
    assert torch.allclose(curves, curves[:, :1].expand_as(curves))
    assert torch.equal(control.monotony(curves), torch.zeros(3, dtype=torch.float64))


def test_the_curve_is_the_formula() -> None:
    """S_k for one image by hand: content c, parameters scaled by 1 - i_k; the mean of the plain features is mean c."""
    measured, entry = probe(SEPARATE), 0.25
    content = measured.plain[:, 0, :CONTENT]
    centred = content - content.mean(0)
    for k in range(3):
        mine = measured.theta[:, [j for j, owner in enumerate(FAMILY.owners) if owner == k]]
        added = ((1 - entry) * mine).square().sum(-1)
        expected = (centred.norm(dim=-1) / (centred.square().sum(-1) + added).sqrt()).mean()
        descriptor = torch.full((3,), 0.5)
        descriptor[k] = entry
        assert float(control.invariance(measured, descriptor[None])[0, k]) == pytest.approx(float(expected), abs=1e-5)


def test_leakage_is_zero_where_entries_are_separate() -> None:
    found = control.leakage(probe(SEPARATE), 0.5)
    assert (found.diagonal() > 0.05).all()
    assert (found - found.diagonal().diag()).abs().max() < 1e-6
    crossed = SEPARATE.clone()
    crossed[1, 0] = 0.5  # negative control: entry 0 moves factor 1 as well
    leaking = control.leakage(probe(crossed), 0.5)
    assert leaking[0, 1] > 0.02
    assert leaking[1, 0].abs() < 1e-6


def test_readability_falls_to_nothing_where_a_factor_is_ignored() -> None:
    descriptors = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    found = control.readability(probe(SEPARATE), descriptors)
    assert found.shape == (3, 3)
    assert (found[0, :2] > 0.99).all()
    assert (found[2] < 0.1).all()
    assert found[1, 0] < 0.1
    assert found[1, 1] > 0.99  # negative control: the other entries still keep theirs
    assert (found <= 1).all()


def test_of_an_unsigned_operation_the_magnitude_is_read() -> None:
    """Blur's parameter is read as |theta|: features with theta alone, whose sign says nothing, do not carry it."""
    measured = probe(SEPARATE)
    keep = torch.zeros(1, 3)
    assert control.readability(measured, keep)[0, 2] < 0.1
    absolute = Probe(measured.extractor, measured.plain, measured.moved.abs(), measured.theta)
    assert control.readability(absolute, keep)[0, 2] > 0.99


def test_descriptors_together_are_descriptors_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = probe(SEPARATE)
    descriptors = torch.rand(7, 3, generator=Generator().manual_seed(3))
    together = control.invariance(measured, descriptors)
    apart = torch.cat([control.invariance(measured, one[None]) for one in descriptors])
    assert torch.allclose(together, apart, atol=1e-6)
    monkeypatch.setattr(control, "MAX_PAIRS", IMAGES)  # one descriptor per call
    assert torch.allclose(control.invariance(measured, descriptors), together, atol=1e-6)


def test_a_curve_is_made_of_the_invariances_at_its_points() -> None:
    measured = probe(SEPARATE)
    rest = torch.tensor([0.2, 0.6, 0.9])
    curves = control.invariance_curves(measured, rest, points=3)
    for k in range(3):
        descriptors = rest.repeat(3, 1)
        descriptors[:, k] = torch.tensor([0.0, 0.5, 1.0])
        assert torch.allclose(curves[k], control.invariance(measured, descriptors)[:, k], atol=1e-6)


def test_draws_are_those_of_the_generator() -> None:
    first, again, other = (control.invariance_curves(probe(SEPARATE, seed), 0.0) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_monotony_is_spearmans() -> None:
    curves = torch.randn(20, 9, generator=Generator().manual_seed(0))
    curves[3, 4] = curves[3, 7]  # a tie
    expected = [spearmanr(range(9), curve.tolist()).statistic for curve in curves]
    assert control.monotony(curves).tolist() == pytest.approx(expected, abs=1e-12)


def test_effective_rank_of_known_spectra() -> None:
    generator = Generator().manual_seed(0)
    isotropic = torch.linalg.qr(torch.randn(64, 8, generator=generator, dtype=torch.float64))[0]
    isotropic = torch.cat((isotropic, -isotropic))  # its mean is 0
    assert float(effective_rank(isotropic)) == pytest.approx(8)
    assert float(effective_rank(isotropic * torch.tensor([1.0] + 7 * [1e-9]))) == pytest.approx(1, abs=1e-4)
    assert float(effective_rank(torch.ones(10, 4))) == 0
    many = torch.stack((isotropic, 3 * isotropic))
    assert effective_rank(many).tolist() == pytest.approx([8, 8])


def test_norm_ratio_of_known_spreads() -> None:
    x = torch.randn(50, 6, generator=Generator().manual_seed(0))
    assert float(norm_ratio(torch.stack((x, 2 * x + 5, 0.5 * x)))) == pytest.approx(4, rel=1e-5)
    assert float(norm_ratio(torch.stack((x, x + 1)))) == pytest.approx(1, rel=1e-5)
    assert float(norm_ratio(torch.stack((x, torch.ones_like(x))))) == float("inf")

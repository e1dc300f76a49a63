"""What a descriptor does to an extractor, measured: invariance, leakage between factors, what can still be read.

    S_k(i) = mean over images of cos(f(x; i) - m, f(T_k x; i) - m),   m = mean f(x; i)

with factor k alone drawn at random over its whole range, the same draws under every descriptor (the centred cosine of
Ericsson et al. 2022, without whitening). 1 is invariant; 0 is as far as two different images are.

Axes: M descriptors, n images, K factors, P parameters, D features, R points of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from spaces.descriptors import Family
from trainables.modules.contrast import centred_cosine
from trainables.modules.ridge import loo_residuals_on_grid

POINTS = 9         # of a curve
CHUNK = 512        # images per forward pass
MAX_PAIRS = 4096   # (descriptor, image) pairs per call of the conditioned part
PENALTIES = (-12.0, 4.0, 13)  # natural logarithms of the readers' penalties: lowest, highest, points


class Conditioned(Protocol):
    """What is measured; `modules.extractor.Extractor` is one."""

    @property
    def family(self) -> Family: ...
    def respond(self, x: Tensor) -> Tensor: ...  # (n, C, H, W) -> (n, ...), free of the descriptor
    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor: ...  # (n, ...), (M, K) -> (M, n, D)


@dataclass(frozen=True, slots=True)
class Probe:
    """Images, and each of them once more per factor with that factor alone drawn at random.

    Args:
        extractor: that the responses are of.
        plain: responses (n, ...) of the images.
        moved: responses (K, n, ...) of T_k x.
        theta: (n, P) in [-1, 1]; T_k has the parameters of factor k and 0 elsewhere.
    """

    extractor: Conditioned
    plain: Tensor
    moved: Tensor
    theta: Tensor

    @classmethod
    @torch.no_grad()
    def draw(cls, extractor: Conditioned, x: Tensor, generator: Generator) -> Probe:
        """Responses of images (n, C, H, W); every number below is a function of them and of descriptors."""
        family = extractor.family
        theta = family.draw(len(x), generator).to(x)
        alone = [theta * _owned(family, k).to(theta) for k in range(len(family.factors))]
        moved = [_respond(extractor, family.apply(x, mine)) for mine in alone]
        return cls(extractor, _respond(extractor, x), torch.stack(moved), theta)

    @property
    def factors(self) -> int:
        """K."""
        return len(self.moved)


@torch.no_grad()
def features(extractor: Conditioned, response: Tensor, descriptors: Tensor) -> Tensor:
    """(n, ...), (M, K) -> (M, n, D), as many descriptors per call as `MAX_PAIRS` allows."""
    size, rows = max(1, MAX_PAIRS // len(response)), descriptors.to(response.device)
    return torch.cat([extractor.finish(response, part) for part in torch.split(rows, size)])


def invariance(probe: Probe, descriptors: Tensor, centre: Tensor | None = None) -> Tensor:
    """S_k under each descriptor: (M, K) -> (M, K).

    Args:
        centre: m (D,) of other images, to compare with what was measured on those: the fewer kinds of images there are,
            the closer they lie to their own mean, and the lower is S about it.
    """
    plain = features(probe.extractor, probe.plain, descriptors)
    similar = [
        centred_cosine(plain, features(probe.extractor, moved, descriptors), centre).mean(-1) for moved in probe.moved
    ]
    return torch.stack(similar, -1)


def invariance_curves(probe: Probe, rest: float | Tensor, points: int = POINTS) -> Tensor:
    """S_k at i_k = 0, ..., 1, the other entries held: (K, R).

    Args:
        rest: the other entries, one number or (K,).
    """
    descriptors = _moved_alone(probe.factors, rest, torch.linspace(0, 1, points))  # (K, R, K)
    every = features(probe.extractor, probe.plain, descriptors.flatten(0, 1))
    plain = every.view(*descriptors.shape[:2], *every.shape[1:])
    return torch.stack([
        centred_cosine(before, features(probe.extractor, moved, mine)).mean(-1)
        for before, moved, mine in zip(plain, probe.moved, descriptors, strict=True)
    ])


def leakage(probe: Probe, rest: float | Tensor) -> Tensor:
    """(K, K): entry (k, j) is by how much S_j rises when i_k moves from 0 to 1, the other entries held at `rest`.

    The diagonal is what a descriptor is for; off it, what moving one entry does to another factor.
    """
    ends = _moved_alone(probe.factors, rest, torch.tensor([0.0, 1.0]))  # (K, 2, K)
    found = invariance(probe, ends.flatten(0, 1)).view(-1, 2, probe.factors)
    return found[:, 1] - found[:, 0]


def readability(probe: Probe, descriptors: Tensor) -> Tensor:
    """R^2 of factor k's parameters as a ridge head reads them from (f(x; i), f(T_k x; i)): (M, K) -> (M, K).

    Leave-one-out, at the best penalty of a grid, averaged over the factor's parameters. Of an unsigned operation (blur)
    the magnitude is read, since the sign of its parameter does nothing. Below 0 is worse than guessing the mean.
    """
    family = probe.extractor.family
    target = family.effective(probe.theta).double()
    plain = features(probe.extractor, probe.plain, descriptors)
    found = []
    for k, moved in enumerate(probe.moved):
        both = torch.cat((plain, features(probe.extractor, moved, descriptors)), -1)
        found.append(_read(both, target[:, _owned(family, k).to(target.device)]))
    return torch.stack(found, -1)


def monotony(curves: Tensor) -> Tensor:
    """Spearman's rank correlation of curves (..., R) with their grid, in [-1, 1]; 0 where a curve is flat."""
    ranks = (curves[..., None] > curves[..., None, :]).double().sum(-1)
    ranks = ranks + 0.5 * (curves[..., None] == curves[..., None, :]).double().sum(-1)  # ties share their mean rank
    ranks = ranks - ranks.mean(-1, keepdim=True)
    grid = torch.arange(curves.shape[-1], dtype=ranks.dtype, device=ranks.device)
    grid = grid - grid.mean()
    size = ranks.square().sum(-1).sqrt() * grid.square().sum().sqrt()
    correlation: Tensor = (ranks * grid).sum(-1) / size.clamp_min(torch.finfo(ranks.dtype).tiny)
    return correlation


def _moved_alone(factors: int, rest: float | Tensor, grid: Tensor) -> Tensor:
    """(K, R, K): row k has entry k on the grid, and the others at `rest`."""
    base = torch.as_tensor(rest, dtype=torch.float32).cpu().expand(factors)
    own = torch.eye(factors, dtype=torch.bool)[:, None]
    return torch.where(own, grid[None, :, None], base)


def _owned(family: Family, factor: int) -> Tensor:
    """(P,) bool: which parameters are this factor's."""
    return torch.tensor(family.owners) == factor


def _respond(extractor: Conditioned, x: Tensor) -> Tensor:
    return torch.cat([extractor.respond(part) for part in torch.split(x, CHUNK)])


def _read(both: Tensor, target: Tensor) -> Tensor:
    """R^2 (M,) of targets (n, p) from features (M, n, 2 D), one set of features at a time: bounded memory."""
    lowest, highest, points = PENALTIES
    grid = torch.linspace(lowest, highest, points, dtype=torch.float64, device=both.device)
    spread = (target - target.mean(0)).square().mean(0)  # (p,)
    found = []
    for one in both:
        residual = loo_residuals_on_grid(one, target, grid).square().mean(-2)  # (L, p)
        found.append((1 - residual / spread).mean(-1).amax())
    return torch.stack(found)

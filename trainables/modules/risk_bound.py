"""What a chosen descriptor and its head are guaranteed to lose on new images: a bound as a number.

With probability at least 1 - delta over the n labelled examples, for all descriptors of a finite family I that was
fixed before, and all heads at once,

    E loss  <=  empirical loss  +  2 sqrt(2) lip sqrt(c) B X / sqrt(n)  +  price of choosing (|I|, delta).

`docs/risk_bound.md` has the derivation and what it assumes. Axes: n examples, d features, c outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from tracking.errors import UserError
from trainables.modules.evaluated import Targets
from trainables.modules.ridge import RidgeHead

NORMS = tuple(2.0**power for power in range(-10, 11))  # the grid of B that the union bound pays for


class BoundedLoss(StrEnum):
    """The loss that a bound speaks of."""

    RAMP = "ramp"        # min(1, max(0, 1 - margin)): never below the error rate; Lipschitz sqrt(2)
    CLIPPED = "clipped"  # min(||output - target||, ceiling): Lipschitz 1


@dataclass(frozen=True, slots=True)
class RiskBound:
    """A bound on the expected loss, by terms.

    Args:
        loss: what is bounded; RAMP bounds the error rate too.
        empirical: mean loss on the n examples, weighted where they are.
        complexity: of the heads of norm up to `norm`.
        price: of choosing among `family` descriptors and the grid of norms, at confidence 1 - delta.
        price_of_one: what `price` would be for a single descriptor fixed in advance.
        ceiling: largest possible loss; a total above it says nothing.
        norm: B, the ball of heads that the bound pays for.
        examples: how many there are.
        effective: n, as many; fewer where they are weighted.
        family: |I|.
        delta: probability that the bound fails.
    """

    loss: BoundedLoss
    empirical: float
    complexity: float
    price: float
    price_of_one: float
    ceiling: float
    norm: float
    examples: int
    effective: float
    family: int
    delta: float

    @property
    def total(self) -> float:
        """The bound."""
        return self.empirical + self.complexity + self.price

    @property
    def vacuous(self) -> bool:
        """Whether it says no more than that the loss is bounded."""
        return self.total >= self.ceiling


def risk_bound(
    features: Tensor,
    head: RidgeHead,
    targets: Targets,
    family: int,
    delta: float = 0.05,
    feature_norm: float | None = None,
    ceiling: float = 1.0,
) -> RiskBound:
    """The bound for one descriptor's features and a head that may have been fitted to them.

    A classifier's decisions do not change with the scale of its outputs, and the bound holds for all heads at
    once, so the head is scaled to each norm of the grid and the lowest total is reported. A regression head
    pays for the next larger norm of the grid.

    Args:
        features: (n, d) under the chosen descriptor, scaled by something fixed before the task was seen, so that norms
            are about one; the head's bias counts as the weight of one more feature, the constant 1.
        head: weight (c, d), bias (c,).
        targets: of the same examples; classes take RAMP, values CLIPPED. With weights, which must follow from the class
            sizes alone, the bound is on the equally weighted risk of new examples, given those sizes, and n becomes
            Kish's effective number of examples, (sum w)^2 / sum w^2.
        family: |I| >= 1, from which the descriptor was chosen; see `descriptor_search.family_size`.
        delta: in (0, 1).
        feature_norm: a bound on the norm of any features, known in advance (1 for normalised features). None
            takes the measured mean square instead and pays for it with a threefold price; not with weights.
        ceiling: of CLIPPED, in units of the targets, fixed in advance.

    Raises:
        UserError: features beyond `feature_norm`.
    """
    assert family >= 1 and 0 < delta < 1 and ceiling > 0
    assert targets.weights is None or feature_norm is not None, "with weights the norm must be known in advance"
    size = feature_size(features, feature_norm)
    outputs = head.predict(features.double())
    norm = float(torch.cat([head.weight.flatten(), head.bias.flatten()]).norm())
    (count, c), n = outputs.shape, targets.effective_number()
    measured = feature_norm is None
    if targets.labels is None:
        loss, most, lipschitz = BoundedLoss.CLIPPED, ceiling, 1.0
        held = next((b for b in NORMS if b >= norm), math.inf)
        empirical = float(targets.weighted(clipped_loss(outputs, targets.values.to(outputs), ceiling)).mean())
    else:
        loss, most, lipschitz = BoundedLoss.RAMP, 1.0, math.sqrt(2)
        empirical, held = _best_scale(outputs, targets, norm, complexity(1.0, size, n, c, lipschitz))
    one = price(n, 1, delta, most, len(NORMS), measured)
    chosen = price(n, family, delta, most, len(NORMS), measured)
    spread = complexity(held, size, n, c, lipschitz)
    return RiskBound(loss, empirical, spread, chosen, one, most, held, count, n, family, delta)


def complexity(norm: float, size: float, examples: float, outputs: int, lipschitz: float) -> float:
    """Twice the Rademacher complexity of loss o head over ||(W, b)||_F <= norm: 2 sqrt(2) lip sqrt(c) B X / sqrt(n)."""
    return 2 * math.sqrt(2 * outputs / examples) * lipschitz * norm * size


def price(examples: float, family: int, delta: float, ceiling: float, norms: int, measured: bool) -> float:
    """Deviation that holds for all descriptors and norms at once, by McDiarmid's inequality and a union bound.

    M sqrt(ln(|I| J / delta) / (2 n)) with the expected complexity; with the measured one 3 M sqrt(ln(2 |I| J / delta) /
    (2 n)), since the measured complexity deviates too.

    Args:
        family: |I|.
        ceiling: M.
        norms: J, norms in the grid; 1 for a single ball, or a single head, fixed in advance.
    """
    factor, events = (3, 2) if measured else (1, 1)
    logarithm = math.log(events) + math.log(family) + math.log(norms) - math.log(delta)  # |I| may exceed a float
    return factor * ceiling * math.sqrt(logarithm / (2 * examples))


def feature_size(features: Tensor, feature_norm: float | None) -> float:
    """X: of (z, 1), the bound where one is known in advance, else the root of the measured mean square."""
    squares = features.double().square().sum(-1)
    if feature_norm is None:
        return math.sqrt(float(squares.mean()) + 1)
    longest = math.sqrt(float(squares.max()))
    if longest > feature_norm * (1 + 1e-4):
        raise UserError(f"features must have norms of at most {feature_norm:g}", f"{longest:g}", "normalise them")
    return math.sqrt(feature_norm**2 + 1)


def ramp_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """min(1, max(0, 1 - margin)), margin = output of the label minus the largest other; (n, c) -> (n,)."""
    others = outputs.scatter(-1, labels.unsqueeze(-1), -math.inf).amax(-1)
    margin = outputs.gather(-1, labels.unsqueeze(-1)).squeeze(-1) - others
    return (1 - margin).clamp(0, 1)


def clipped_loss(outputs: Tensor, values: Tensor, ceiling: float) -> Tensor:
    """min(||output - value||_2, ceiling), (n, c) -> (n,)."""
    distance: Tensor = (outputs - values).norm(dim=-1)
    return distance.clamp_max(ceiling)


def _best_scale(outputs: Tensor, targets: Targets, norm: float, slope: float) -> tuple[float, float]:
    """(empirical ramp loss, B) of the norm B in the grid at which loss + slope * B is lowest."""
    assert targets.labels is not None
    labels = targets.labels.to(outputs.device)
    losses = {b: float(targets.weighted(ramp_loss(outputs * (b / norm), labels)).mean()) for b in NORMS}
    best = min(losses, key=lambda b: losses[b] + slope * b)
    return losses[best], best

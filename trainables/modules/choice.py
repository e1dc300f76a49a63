"""The one-standard-error rule towards the default: no descriptor without evidence.

Axes: M descriptors, K entries, n examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.modules.evaluated import Evaluated


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and how sure that is.

    Args:
        index: of the chosen descriptor among those evaluated.
        descriptor: (K,).
        risk: its mean leave-one-out loss.
        standard_error: of that risk, over examples.
        log_penalty: its penalty.
        best: (K,) the descriptor of lowest risk.
        best_risk: its risk.
        behind: risk - best_risk, >= 0.
        behind_error: standard error of that difference, over paired examples.
        candidates: how many descriptors the data cannot tell from the best.
        low: (K,) smallest value of each entry among the candidates.
        high: (K,) largest value; where low is 0 and high is 1 the data say nothing about the entry alone.
    """

    index: int
    descriptor: Tensor
    risk: float
    standard_error: float
    log_penalty: float
    best: Tensor
    best_risk: float
    behind: float
    behind_error: float
    candidates: int
    low: Tensor
    high: Tensor


def choose(evaluated: Evaluated, default: Tensor, errors: float = 1.0, leave: bool = True) -> Choice:
    """Of the descriptors as good as the best, the closest to the default; the default itself without evidence.

    Paired differences to the best, D_mj = loss_mj - loss_best,j, have the standard error SE_m = std(D_m) / sqrt(n).
    Descriptors with mean(D_m) <= errors * SE_m are candidates, and the one closest to the default (L1 distance, ties
    by risk) is chosen.

    Breiman et al. (1984) take the standard error of the best risk. Losses of one example under two descriptors go
    together, so the paired error is smaller, and the rule alone leaves the default easily, since the best of many is
    lucky: on shuffled labels in 44 to 62 % of planted tasks. Whether to leave it is asked before (`evidence`).

    Args:
        evaluated: holds the default where the rule is to be able to return it.
        default: (K,) in [0, 1].
        errors: width of the rule, in standard errors, >= 0.
        leave: whether the labels say that something is better than the default.
    """
    assert errors >= 0 and len(evaluated) >= 1
    risk = evaluated.risk
    best = int(risk.argmin())
    behind, error = paired(evaluated.losses, evaluated.losses[best])
    alike = behind <= errors * error
    if not leave:
        alike |= _is(evaluated.descriptors, default)
    which = alike.nonzero().flatten()
    index = _closest(evaluated, which, default)
    members = evaluated.descriptors[which]
    return Choice(
        index=index,
        descriptor=evaluated.descriptors[index],
        risk=float(risk[index]),
        standard_error=float(evaluated.losses[index].std() / evaluated.losses.shape[-1] ** 0.5),
        log_penalty=float(evaluated.log_penalty[index]),
        best=evaluated.descriptors[best],
        best_risk=float(risk[best]),
        behind=float(behind[index]),
        behind_error=float(error[index]),
        candidates=len(which),
        low=members.amin(0),
        high=members.amax(0),
    )


def paired(losses: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of losses - reference over examples and its standard error: (..., n), (n,) -> (...), (...)."""
    difference = losses - reference
    return difference.mean(-1), difference.std(-1) / difference.shape[-1] ** 0.5


def _closest(evaluated: Evaluated, alike: Tensor, default: Tensor) -> int:
    """Ties of the distance, up to rounding, go to the lower risk."""
    descriptors = evaluated.descriptors[alike]
    distance = (descriptors - default.to(descriptors)).abs().sum(-1)
    nearest = alike[distance <= distance.min() + 1e-6]
    return int(nearest[evaluated.risk[nearest].argmin()])


def distinct(descriptors: Tensor) -> Tensor:
    """(M, K) without repetitions, each where it first occurs."""
    kept: dict[tuple[float, ...], None] = dict.fromkeys(tuple(row) for row in descriptors.tolist())
    return torch.tensor(list(kept), dtype=descriptors.dtype, device=descriptors.device)


def rounded(descriptors: Tensor, resolution: int) -> Tensor:
    """To the nearest multiples of 1/resolution: a choice among (resolution + 1)^K instead of a continuum."""
    return (descriptors * resolution).round() / resolution


def _is(descriptors: Tensor, default: Tensor) -> Tensor:
    """(M, K), (K,) -> (M,) bool, up to rounding."""
    return (descriptors - default.to(descriptors)).abs().amax(-1) <= 1e-6

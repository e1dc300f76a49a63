"""Measured invariance and test-time averaging of any `predict`: the one currency all methods are compared in.

Axes: B images, C copies, K outputs, G strengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import log_softmax

from trainables.problems.problem import Action, Kind

Predict = Callable[[Tensor], Tensor]  # (B, *shape) -> (B, K) logits
Sampler = Callable[[Tensor, Generator], Tensor]


def measure(
    predict: Predict, x: Tensor, bank: tuple[Action, ...], ranges: Mapping[str, float], strengths: int, kind: Kind
) -> dict[str, float]:
    """How much `predict` changes when its input is transformed, for each action g of a bank.

    For classification two numbers: the agreement E_v[argmax f(T_v x) = argmax f(x)] in [0, 1], and the expected
    Kullback-Leibler divergence E_v KL(f(x) || f(T_v x)) in nats, over `strengths` evenly spaced |v| in (0, r] and
    both signs where the action has one. For all other kinds the mean squared change of the outputs.

    Args:
        x: inputs (B, *shape).
        ranges: action name -> physical half-width r to probe; the action's limit where it is not named.
    """
    plain = predict(x)
    found: dict[str, float] = {}
    for action in bank:
        reach = min(ranges.get(action.name, action.limit) / action.limit, 1.0)
        changed = [predict(_transform(action, x, v)) for v in _grid(reach, strengths, action.signed)]
        moved = torch.stack(changed)  # (G, B, K)
        if kind is not Kind.CLASSIFICATION:
            found[f"{action.name}/change"] = float((moved - plain).square().mean())
            continue
        log_p, log_q = log_softmax(plain, -1), log_softmax(moved, -1)
        found[f"{action.name}/agreement"] = float((moved.argmax(-1) == plain.argmax(-1)).float().mean())
        found[f"{action.name}/kl"] = float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
    return found


def averaged(predict: Predict, sample: Sampler, x: Tensor, copies: int, generator: Generator) -> Tensor:
    """Log of the mean predicted probability over C sampled copies, (B, K): log 1/C sum_c softmax f(t_c(x)).

    Probabilities are averaged, not logits: the average is then itself a distribution for every C.
    """
    log_p = torch.stack([log_softmax(predict(sample(x, generator)), -1) for _ in range(copies)])  # (C, B, K)
    return log_p.logsumexp(0) - torch.log(torch.tensor(float(copies), device=x.device))


def common_sampler(bank: tuple[Action, ...], ranges: Mapping[str, float]) -> Sampler:
    """Copies that every method gets alike: per input one action of the bank, its strength uniform over the range.

    Without any action a copy is the input itself.
    """

    def sample(x: Tensor, generator: Generator) -> Tensor:
        if not bank:
            return x
        choice = torch.randint(0, len(bank), (len(x),), generator=generator)
        u = torch.rand(len(x), generator=generator)
        sign = torch.randint(0, 2, (len(x),), generator=generator) * 2 - 1
        moved = x.clone()
        for number, action in enumerate(bank):  # one group of kernels per action present
            rows = (choice == number).nonzero()[:, 0]
            if len(rows):
                v = u[rows] * min(ranges.get(action.name, action.limit) / action.limit, 1.0)
                v = v * sign[rows] if action.signed else v
                here = rows.to(x.device)
                moved[here] = action.apply(x[here], v.to(x))
        return moved

    return sample


def _transform(action: Action, x: Tensor, v: float) -> Tensor:
    return action.apply(x, torch.full((len(x),), v, dtype=x.dtype, device=x.device))


def _grid(reach: float, strengths: int, signed: bool) -> list[float]:
    up = [reach * (k + 1) / strengths for k in range(strengths)]
    return [-v for v in reversed(up)] + up if signed else up

"""Measured invariance and test-time averaging of any `predict`: the one currency all methods are compared in.

Axes: B images, C copies or draws, K outputs or classes, G strengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from scipy.optimize import minimize_scalar
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, log_softmax

from trainables.problems.array_view import by_class
from trainables.problems.bank import SWITCHES, apply_jointly
from trainables.problems.problem import Action, Kind
from trainables.relative_invariance import relative_invariance

Predict = Callable[[Tensor], Tensor]  # (B, *shape) -> (B, K) logits
Sampler = Callable[[Tensor, Generator], Tensor]
PARTNERS = 0  # seed of the examples that relative invariance compares with


def measure(
    predict: Predict, x: Tensor, bank: tuple[Action, ...], ranges: Mapping[str, float], strengths: int, kind: Kind,
    labels: Tensor | None = None,
) -> dict[str, float]:
    """How much `predict` changes when its input is transformed, for each action g of a bank.

    For classification two numbers: the agreement E_v[argmax f(T_v x) = argmax f(x)] in [0, 1], and the expected
    Kullback-Leibler divergence E_v KL(f(x) || f(T_v x)) in nats, over `strengths` evenly spaced |v| in (0, r] and
    both signs where the action has one; of a flip at its full strength, since between lies a blend. Where labels of two
    classes are given a third, AugNet's `relative_invariance` of the logits. For all other kinds the mean squared change
    of the outputs.

    Args:
        x: inputs (B, *shape).
        ranges: action name -> physical half-width r to probe; the action's limit where it is not named.
        labels: (B,) classes of the inputs.
    """
    several = labels is not None and bool((labels != labels[0]).any())
    plain = predict(x)
    found: dict[str, float] = {}
    for action in bank:
        reach = min(ranges.get(action.name, action.limit) / action.limit, 1.0)
        grid = [1.0] if action.name in SWITCHES else _grid(reach, strengths, action.signed)
        changed = [predict(_transform(action, x, v)) for v in grid]
        moved = torch.stack(changed)  # (G, B, K)
        if kind is not Kind.CLASSIFICATION:
            found[f"{action.name}/change"] = float((moved - plain).square().mean())
            continue
        log_p, log_q = log_softmax(plain, -1), log_softmax(moved, -1)
        found[f"{action.name}/agreement"] = float((moved.argmax(-1) == plain.argmax(-1)).float().mean())
        found[f"{action.name}/kl"] = float(_kl(log_p, log_q).mean())
        if several and labels is not None:
            partners = Generator().manual_seed(PARTNERS)  # the same for all actions and all methods
            relative = relative_invariance(plain, moved, labels, partners)
            found |= {f"{action.name}/relative": relative} if math.isfinite(relative) else {}
    return found


class ClassInvariance(NamedTuple):
    """How far predictions move under a nuisance, for each class (K,); NaN where a class has no image.

    Args:
        ekld: expected Kullback-Leibler divergence in nats.
        scaled: the same after the logits were divided by a temperature.
        divergence: expected Jensen-Shannon divergence, at most log 2: no single draw can dominate it.
        consistency: share of draws that keep the predicted class.
    """

    ekld: Tensor
    scaled: Tensor
    divergence: Tensor
    consistency: Tensor


def class_invariance(
    predict: Predict, x: Tensor, y: Tensor, sample: Sampler, draws: int, generator: Generator, classes: int,
    temperature: float = 1.0,
) -> ClassInvariance:
    """eKLD(c) = E_{x: y = c} E_{x' ~ T(.|x)} KL(p(.|x) || p(.|x')), Zhou et al. (2022), natural logarithm.

    Image i is compared with transforms of image i alone; the published code pairs it with those of another image, which
    measures how classes vary and not how invariant a classifier is.

    Args:
        x: images before the nuisance (B, *shape); y (B,) their classes.
        sample: T, the nuisance.
        draws: of T, for each image.
        temperature: of `scaled`; see `fitted_temperature`.
    """
    plain = predict(x).double()
    totals = plain.new_zeros(4, len(x))
    for _ in range(draws):
        moved = predict(sample(x, generator)).double()
        log_p, log_q = log_softmax(plain, -1), log_softmax(moved, -1)
        middle = torch.logaddexp(log_p, log_q) - math.log(2)
        totals += torch.stack((
            _kl(log_p, log_q),
            _kl(log_softmax(plain / temperature, -1), log_softmax(moved / temperature, -1)),
            (_kl(log_p, middle) + _kl(log_q, middle)) / 2,
            (moved.argmax(-1) == plain.argmax(-1)).double(),
        ))
    # On the CPU: sums by index on a GPU come in another order each time.
    return ClassInvariance(*(by_class(values, y.cpu(), classes) for values in (totals / draws).cpu()))


def fitted_temperature(outputs: Tensor, y: Tensor) -> float:
    """The temperature T in [0.05, 20] that makes logits (B, K) the likeliest for y (Guo et al. 2017).

    log T has a standard normal prior that weighs as much as one example: where all examples are recognised the
    likelihood alone would have no optimum.

    The divergence of a sure classifier is larger than that of an unsure one that moves as much; after division by its
    own temperature both are as sure as they are right.
    """
    logits = outputs.double().cpu()

    def nll(log_t: float) -> float:
        return float(cross_entropy(logits / math.exp(log_t), y.cpu())) + log_t**2 / 2 / len(logits)

    return math.exp(float(minimize_scalar(nll, bounds=(math.log(0.05), math.log(20.0)), method="bounded").x))


def size_slope(values: Tensor, sizes: Tensor) -> float | None:
    """b of the least-squares line log value = a + b log n over classes; None where sizes are too alike for one.

    Sizes have to differ by two to one: over nearly equal ones the slope is noise. Classes with values below 1e-9 are
    left out: float32 tells no smaller divergence from none, and one logarithm of nothing would decide the line.
    """
    known = values.isfinite() & (values >= 1e-9) & (sizes > 0)
    n, v = sizes[known].double().log(), values[known].double().log()
    if len(n) < 2 or float(n.max() - n.min()) < math.log(2) - 1e-9:
        return None
    n = n - n.mean()
    return float((n * v).sum() / n.square().sum())


def averaged(predict: Predict, sample: Sampler, x: Tensor, copies: int, generator: Generator) -> Tensor:
    """Log of the mean predicted probability over C sampled copies, (B, K): log 1/C sum_c softmax f(t_c(x)).

    Probabilities are averaged, not logits: the average is then itself a distribution for every C.
    """
    log_p = torch.stack([log_softmax(predict(sample(x, generator)), -1) for _ in range(copies)])  # (C, B, K)
    return log_p.logsumexp(0) - torch.log(torch.tensor(float(copies), device=x.device))


def common_sampler(bank: tuple[Action, ...], ranges: Mapping[str, float]) -> Sampler:
    """Copies that every method gets alike: per input one action of the bank, its strength uniform over the range.

    A flip is drawn by a coin. Without any action a copy is the input itself.
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
                reach = min(ranges.get(action.name, action.limit) / action.limit, 1.0)
                v = (u[rows] < 0.5).to(u) if action.name in SWITCHES else u[rows] * reach
                v = v * sign[rows] if action.signed else v
                here = rows.to(x.device)
                moved[here] = action.apply(x[here], v.to(x))
        return moved

    return sample


def planted_sampler(bank: tuple[Action, ...], ranges: Mapping[str, float]) -> Sampler:
    """The nuisance that `ranges` plants: every action that they name acts on every input, in the order of the bank.

    Strengths are uniform in [-r, r], or in [0, r] where an action has no sign; a flip is drawn by a coin.
    """
    actions = [(action, min(ranges[action.name] / action.limit, 1.0)) for action in bank if action.name in ranges]

    def sample(x: Tensor, generator: Generator) -> Tensor:
        strengths = {}
        for action, reach in actions:
            u = torch.rand(len(x), generator=generator, device=generator.device)
            v = (u < 0.5).to(u) if action.name in SWITCHES else (2 * u - 1 if action.signed else u)
            strengths[action.name] = (v * reach).to(x)
        return apply_jointly([action for action, _ in actions], x, strengths)

    return sample


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats, (B, K) -> (B,); rounding may not make it negative."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)


def _transform(action: Action, x: Tensor, v: float) -> Tensor:
    return action.apply(x, torch.full((len(x),), v, dtype=x.dtype, device=x.device))


def _grid(reach: float, strengths: int, signed: bool) -> list[float]:
    up = [reach * (k + 1) / strengths for k in range(strengths)]
    return [-v for v in reversed(up)] + up if signed else up

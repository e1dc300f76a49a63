"""On/off descriptors: all corners of the cube with successive halving, a greedy walk along its edges, a small menu.

Axes: M descriptors, K entries, n examples.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.modules.choice import distinct
from trainables.modules.evaluated import Evaluated, Judge, Targets, joined

MOST_CORNERS = 4096  # K = 12; beyond that only a search that does not enumerate is sensible


def all_corners(entries: int) -> Tensor:
    """(2^K, K), in binary order: the first is all-off, the last all-on.

    Raises:
        UserError: more than 4,096 corners.
    """
    if 2**entries > MOST_CORNERS:
        raise UserError(
            f"all corners are enumerated up to {MOST_CORNERS}", f"2^{entries}", "search by gradient or greedily"
        )
    bits = torch.arange(2**entries).unsqueeze(-1) >> torch.arange(entries - 1, -1, -1)
    return (bits & 1).float()


def menu(default: Tensor) -> Tensor:
    """The default, all-off, all-on, all-on with one entry off and all-off with one on: 2 K + 3 descriptors at most.

    For few labels. One off says "everything is nuisance except this", one on "nothing but this": the usual ways in
    which tasks differ. A larger menu costs certainty: the price of choosing grows with its logarithm, and so do lucky
    winners. Without the K with one on it lost two to three points on tasks that invariance harms (docs/log.md).
    """
    entries = len(default)
    off, one = torch.zeros(1, entries), torch.eye(entries)
    return distinct(torch.cat([default.float().unsqueeze(0), off, 1 - off, 1 - one, one]))


def alternatives(default: Tensor, count: int) -> Tensor:
    """The menu, and corners that are drawn once and for all, up to `count`: what the default is tested against.

    The same for every task, so that the test's rate holds (`evidence`); all corners where they are no more.
    """
    entries = len(default)
    if 2**entries <= count:
        return distinct(torch.cat([menu(default), all_corners(entries)]))
    drawn = torch.rand(4 * count, entries, generator=Generator().manual_seed(0)).round()
    return distinct(torch.cat([menu(default), drawn]))[: max(count, 2 * entries + 3)]


def balanced_rows(labels: Tensor, count: int, generator: Generator) -> Tensor:
    """About `count` examples, sorted: as many of each class as there are.

    Args:
        labels: (n,).
        count: wanted examples; all where there are fewer.
    """
    order = torch.randperm(len(labels), generator=generator)
    return order[_turn(labels[order]).argsort(stable=True)][:count].sort().values


def some_rows(targets: Targets, count: int, generator: Generator) -> Tensor:
    """As `balanced_rows`, and at random for regression."""
    if targets.labels is None:
        return torch.randperm(len(targets), generator=generator)[:count].sort().values
    return balanced_rows(targets.labels, count, generator)


def _turn(labels: Tensor) -> Tensor:
    """(n,) how many earlier examples have the same label: sorting by it deals the classes out in turns."""
    turn = torch.zeros_like(labels)
    for label in range(int(labels.max()) + 1):
        mine = labels == label
        turn[mine] = torch.arange(int(mine.sum()))
    return turn


def halved_corners(judge: Judge, default: Tensor, first_rows: int, keep: int, generator: Generator) -> Evaluated:
    """All corners on a class-balanced subset, the best of them and the default on all examples.

    Successive halving (Jamieson & Talwalkar 2016) in two rungs. Where that would not be cheaper, all corners are
    evaluated on all examples at once.

    Args:
        default: (K,); always part of the result.
        first_rows: examples of the first rung.
        keep: corners that reach the second.

    Returns:
        The second rung only: all losses are of all examples.
    """
    corners = all_corners(len(default))
    n, m = len(judge.targets), len(corners)
    if m * first_rows + keep * n < m * n:
        corners = corners[screened(judge, corners, first_rows, generator)[:keep]]
    return judge.evaluate(distinct(torch.cat([default.float().unsqueeze(0), corners])))


def screened(judge: Judge, descriptors: Tensor, first_rows: int, generator: Generator) -> Tensor:
    """Indices of descriptors, best first, by their risk on a class-balanced subset."""
    rows = some_rows(judge.targets, first_rows, generator)
    return judge.evaluate(descriptors, rows).risk.argsort(stable=True)


def greedy(judge: Judge, default: Tensor) -> Evaluated:
    """From the default's nearest corner, K times switch the entry that lowers the risk most, each at most once.

    K (K + 1) / 2 evaluations beside those of the default and of that corner. The walk goes on where every switch
    raises the risk: the way to a good corner may lead over a worse one.
    """
    here = default.float().round()
    seen = [judge.evaluate(distinct(torch.stack([default.float(), here])))]
    remaining = list(range(len(default)))
    while remaining:
        switched = here.repeat(len(remaining), 1)
        switched[torch.arange(len(remaining)), remaining] = 1 - here[remaining]
        seen.append(judge.evaluate(switched))
        winner = int(seen[-1].risk.argmin())
        here = switched[winner]
        remaining.pop(winner)
    return joined(seen)

"""Stratified divisions of labelled rows, by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tracking.errors import UserError
from trainables.problems.dataset import POOL, Dataset, stream
from trainables.problems.problem import Kind, Split

Rows = NDArray[np.int64]
SHARES = (0.5, 0.25, 0.25)  # of train, outer, select


def partition_rows(
    dataset: Dataset, seed: int, partition: int, shares: Sequence[float] = SHARES
) -> dict[Split, Rows]:
    """Divide the pool into train, outer and select; disjoint, complete, every class in every split.

    Where the data set names the rows of the select split, the shares of train and outer divide the others.

    The pool itself depends on the seed alone: another partition is another division of the same rows, so a
    method that is confirmed on several partitions never sees a label more than the pool holds.

    Raises:
        UserError: a class has fewer rows than there are splits, or a wrapper changed the rows after `long_tailed` had
            named those of the select split.
    """
    if dataset.select is not None and len(dataset.select) != len(dataset.pool_y):
        raise UserError("`long_tailed` comes after wrappers that make other rows",
                        f"{len(dataset.select)} rows were divided, {len(dataset.pool_y)} are there",
                        "change the order of the problem's `wrappers`")
    classification = dataset.kind is Kind.CLASSIFICATION
    groups = dataset.pool_y if classification else np.zeros(len(dataset.pool_y), np.int64)
    names = dataset.classes or ("data",)
    sizes = np.bincount(groups, minlength=len(names))
    small = [f"{names[k]} ({n})" for k, n in enumerate(sizes) if n < len(POOL)]
    if small:
        raise UserError(
            f"every class needs {len(POOL)} labelled examples or more beside those of the test set: one for train, "
            "outer and select",
            ", ".join(small),
            "add examples of these classes, or leave the classes out",
        )
    generator = stream("partition", seed, partition)
    if dataset.select is None:
        return dict(zip(POOL, divide(groups, shares, generator), strict=True))
    free, held = np.flatnonzero(~dataset.select), np.flatnonzero(dataset.select)
    train, outer = (free[part] for part in divide(groups[free], shares[:2], generator))
    return {Split.TRAIN: train, Split.OUTER: outer, Split.SELECT: generator.permutation(held)}


def divide(groups: Rows, shares: Sequence[float], generator: np.random.Generator) -> list[Rows]:
    """Rows in parts of the given shares, group by group; a part holds a row of every group large enough."""
    parts: list[list[Rows]] = [[] for _ in shares]
    for group in np.unique(groups):
        rows = generator.permutation(np.flatnonzero(groups == group))
        ends = np.cumsum(allocate(len(rows), shares))[:-1]
        for part, chosen in zip(parts, np.split(rows, ends), strict=True):
            part.append(chosen)
    return [generator.permutation(np.concatenate(part)) for part in parts]


def allocate(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers near count * shares that sum to count (largest remainder); none is 0 if count allows."""
    exact = np.asarray(shares, float) / sum(shares) * count
    whole = np.floor(exact).astype(int)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: count - int(whole.sum())]] += 1
    while count >= len(whole) and (whole == 0).any():
        whole[whole.argmax()] -= 1
        whole[whole.argmin()] += 1
    return [int(n) for n in whole]


def held_out(y: Rows, count: int, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """(rest, chosen): `count` rows chosen so that classes keep their proportions; both in ascending order.

    Every class is in the chosen part if count allows it.
    """
    labels, sizes = np.unique(y, return_counts=True)
    whole = allocate(count, [float(size) for size in sizes])
    chosen = np.concatenate(
        [generator.permutation(np.flatnonzero(y == k))[:n] for k, n in zip(labels, whole, strict=True)]
    )
    mask = np.zeros(len(y), bool)
    mask[chosen] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)

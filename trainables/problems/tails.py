"""How many examples the classes of a long-tailed problem have, from the largest to the smallest."""

from __future__ import annotations

from enum import StrEnum


class Tail(StrEnum):
    """How sizes fall over K classes, i = 0 the largest.

    EXPONENTIAL: n_max * mu^(i / (K - 1)), as CIFAR-LT (Cui et al. 2019).
    ZIPF: n_max * (i + 1)^-alpha, and `least` where that is below, as K49-LT (Zhou et al. 2022).
    STEP: the larger half of the classes has n_max, the others n_max * mu (Buda et al. 2018).
    """

    EXPONENTIAL = "exponential"
    ZIPF = "zipf"
    STEP = "step"


def tail_sizes(tail: Tail, classes: int, largest: int, ratio: float, exponent: float, least: int) -> list[int]:
    """Sizes of K classes, in order from the largest on; fractions are cut off.

    Args:
        largest: n_max.
        ratio: mu in (0, 1], of the smallest class to the largest; of EXPONENTIAL and STEP.
        exponent: alpha; of ZIPF.
        least: smallest size that ZIPF gives.
    """
    if tail is Tail.ZIPF:
        return [max(_cut(largest * (i + 1) ** -exponent), least) for i in range(classes)]
    if tail is Tail.STEP:
        return [largest if i < classes - classes // 2 else _cut(largest * ratio) for i in range(classes)]
    return [_cut(largest * ratio ** (i / max(1, classes - 1))) for i in range(classes)]


def _cut(size: float) -> int:
    """Rounded before it is cut off: 1500 * (8 / 1500) is 7.999... in floating point."""
    return int(round(size, 9))

"""Losses of adversarial generators: least squares, and the term that keeps the draws apart.

Axes: B images, C channels, H height, W width, D style dimensions.
"""

from __future__ import annotations

from torch import Tensor

APART = 0.01  # of images in [-1, 1]: what the distance of two draws is never below in the diversity term


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Least squares (Mao et al. 2017): E (D(x) - 1)^2 + E D(x_gen)^2; 0.5 where the two cannot be told apart.

    Args:
        real, made: values of the discriminator, any shape.
    """
    return (real - 1).square().mean() + made.square().mean()


def adversarial_loss(made: Tensor) -> Tensor:
    """E (D(x_gen) - 1)^2, what the generator lowers."""
    return (made - 1).square().mean()


def l1(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference over all entries."""
    return (one - other).abs().mean()


def diversity_loss(first: Tensor, second: Tensor, styles: Tensor, other_styles: Tensor) -> Tensor:
    """E |s1 - s2|_1 / (|G(c, s1) - G(c, s2)|_1 + 0.01), both norms as means (mode seeking: Mao et al. 2019).

    Without it the identity map is optimal: training images already vary as they should, so x_gen = x satisfies every
    other term.

    Args:
        first, second: two draws (B, C, H, W) for the same contents.
        styles, other_styles: theirs, (B, D).
    """
    apart = (first - second).abs().flatten(1).mean(1)
    return ((styles - other_styles).abs().mean(1) / (apart + APART)).mean()

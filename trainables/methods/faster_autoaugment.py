"""Faster AutoAugment (Hataya et al. 2020): density matching by a critic, then training from scratch.

It makes augmented images indistinguishable from the reference. With the published reference, the training images, that
drives every invariance out that they lack; `reference: outer` is ours, and finds what sets the validation images apart.

Deviations from the paper: one operation per image, drawn and weighted, instead of two stages of soft blends; true
gradients of the ranges; one policy instead of ten sub-policies; the penalty is per image.
"""

from __future__ import annotations

from spaces.transforms import Operation
from trainables.method import Context, Method
from trainables.modules.density_matching import DensityMatching
from trainables.modules.density_recipe import DensityConfig
from trainables.modules.policy_method import policy_method


class Config(DensityConfig):
    """See `DensityConfig`."""

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, no operation fits them, or the network has BatchNorm."""

        def start(operations: tuple[Operation, ...], updates: int) -> DensityMatching:
            return DensityMatching(context, self, operations, updates)

        return policy_method("faster_autoaugment", context, self, start)

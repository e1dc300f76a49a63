"""Fast AutoAugment (Lim et al. 2019): policies that a trained network tolerates, then training from scratch.

    T* = argmax_T  R(theta | T(D_A)),   theta trained on D_M without T

R is the mean accuracy (the paper's formula) or the share of images of which one copy is right (the public code). The
first prefers what the network tolerates already, so it cannot find an invariance that D_M lacks.

Deviations from the paper: one operation per image instead of two in a row; ranges instead of fixed strengths; Optuna's
TPE instead of HyperOpt's; two folds instead of five, whose networks share one training's length; nothing but the policy
is done to the judged images (public code: also crop, flip, cutout); `judged: outer` is ours.
"""

from __future__ import annotations

from typing import Self

from spaces.transforms import Operation
from trainables.method import Context, Method
from trainables.modules.policy_method import policy_method
from trainables.modules.tolerance_recipe import ToleranceConfig
from trainables.modules.tolerance_search import ToleranceSearch


class Config(ToleranceConfig):
    """See `ToleranceConfig`."""

    @classmethod
    def quick(cls) -> Self:
        return cls(kept=2)

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, no operation fits them, or a fold has an empty part."""
        def start(operations: tuple[Operation, ...], updates: int) -> ToleranceSearch:
            return ToleranceSearch(context, self, operations, updates)

        return policy_method("fast_autoaugment", context, self, start)

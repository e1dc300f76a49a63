"""What is paid for wide ranges: without it cross-entropy alone shrinks them."""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer

LEAST = 1e-30  # share below which its logarithm would be lost to rounding


class Reward(StrEnum):
    """How ranges s_k (shares of their caps) and weights w_k of the operations are paid."""

    LOG = "log"                  # sum_k w_k log s_k: the entropy of uniform strengths
    NORM = "norm"                # || s ||_2 (Augerino; AugNet's ablation)
    WEIGHTED_NORM = "weighted"   # || s * w ||_2 (AugNet)


def range_reward(layer: AugmentationLayer, kind: Reward = Reward.LOG) -> Tensor:
    """0-d, to be made large; over all operations of all layers together.

    No reward is paid beyond a cap: s_k enters as min(s_k, 1). With LOG and a weight lambda in front of it, a range
    rests where r dCE/dr = lambda: where a widening by 1 % costs lambda % of a nat; this depends neither on units nor on
    the other ranges. NORM pulls all ranges with a strength that is shared among them, whatever their length.

    Raises:
        UserError: ranges that depend on the input, of which there is no gradient without one.
    """
    if layer.by_input:
        raise UserError("ranges that depend on the input are paid by input", type(layer).__name__,
                        "use `entropy(x)` of its `InstanceRanges`, and `range_reward` of other layers by themselves")
    shares = layer.shares.clamp(max=1)
    if kind is Reward.LOG:
        return (layer.gates * shares.clamp(min=LEAST).log()).sum()
    if kind is Reward.WEIGHTED_NORM:
        shares = shares * layer.gates
    return shares.square().sum().sqrt()

"""AugNet as published (Rommel, Moreau, Gramfort 2022): five operations, the decay, and what was learned as a policy."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import TRANSFORMS, Operation
from tracking.errors import UserError
from trainables.modules.augmentation.affine import LearnedAffine
from trainables.modules.augmentation.select import SelectLayer

# Operation -> physical maximum at range 1, as published (180 degrees: the paper's study of rotations).
LIMITS: Mapping[Operation, float] = {
    Operation.TRANSLATE_X: 0.45,
    Operation.TRANSLATE_Y: 0.45,
    Operation.ROTATION: 180.0,
    Operation.SHEAR_X: 0.3,
    Operation.SHEAR_Y: 0.3,
}


class AugNetLayer(SelectLayer):
    """The published affine layer: a choice among five operations.

    Deviations from the paper: ranges are sigmoids instead of clamps, whose gradient is zero beyond the bounds, and
    since torch 2.15 at the bounds too; shears are about the image's centre; see `SelectLayer`.

    Args:
        temperature: T of the choice.
        start: of the ranges, as a share of LIMITS.
    """

    def __init__(self, temperature: float = 0.01, start: float = 0.125) -> None:
        super().__init__(LearnedAffine(tuple(LIMITS), LIMITS, start), temperature)

    def decay(self) -> Tensor:
        """(|| mu ||^2 + || a ||^2) / 2, 0-d: the published coupled weight decay as a term of the loss.

        On the share mu of the caps. Decay of its logit would pull mu to 1/2, not to 0. It matters: without it the
        choice locks onto whatever operation does no harm.
        """
        return 0.5 * (self.shares.square().sum() + self.logits.square().sum())

    def policy(self) -> Policy:
        """What was learned as a fixed policy: one operation per image by w, strength U(-r, r)."""
        rows = zip(LIMITS, self.gates.tolist(), self.shares.tolist(), strict=True)
        return Policy(entries=tuple(
            PolicyEntry(operation=operation, weight=weight, magnitude=magnitude, limit=LIMITS[operation])
            for operation, weight, magnitude in rows
        ))


def require_published(policy: Policy) -> None:
    """Raises UserError where a policy is not one that this layer could find: other operations, or one twice."""
    names = [str(operation) for operation in policy.operations]
    wrong = sorted({name for name in names if name not in LIMITS or names.count(name) > 1})
    if wrong:
        raise UserError("a policy of augnet has its operations, each once", ", ".join(wrong),
                        f"choose among {', '.join(LIMITS)}; `fixed_policy` takes every policy")


def describe(policy: Policy) -> dict[str, float]:
    """Half-widths with units, and weights, of a policy that `require_published` accepts."""
    found: dict[str, float] = {}
    for entry in policy.entries:
        transform = TRANSFORMS[entry.operation]
        limit = transform.limit if entry.limit is None else entry.limit  # as `Policy.draw` takes it
        found[f"{entry.operation}/width_{transform.unit.replace(' ', '_')}"] = entry.magnitude * limit
        found[f"{entry.operation}/weight"] = entry.weight
    return found

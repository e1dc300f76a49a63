"""Transform banks: the group actions a problem is planted with and probed with.

Axes: B batch, C channels, H height, W width, L length.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from torch import Tensor

from spaces.transforms import (
    GEOMETRIC,
    MEANINGFUL,
    TRANSFORMS,
    AffineParameters,
    Operation,
    affine_matrix,
    apply,
    warp,
)
from spaces.transforms.geometric import FIELD
from tracking.errors import UserError, nearest
from trainables.problems.problem import Action
from trainables.problems.signal_bank import signal_bank

GREY = (
    *GEOMETRIC,
    Operation.FLIP_HORIZONTAL,
    Operation.FLIP_VERTICAL,
    Operation.BRIGHTNESS,
    Operation.CONTRAST,
    Operation.GAUSSIAN_BLUR,
)
COLOUR = (*GREY, Operation.SATURATION, Operation.HUE)
# Wider than the augmentation defaults where the question "is the task invariant to this?" reaches further.
WIDER = {Operation.ROTATION: 90.0}
_AFFINE = frozenset(operation.value for operation in GEOMETRIC)
SWITCHES = (Operation.FLIP_HORIZONTAL.value, Operation.FLIP_VERTICAL.value)  # on or off; between lies a blend


def standard_bank(shape: tuple[int, ...], limits: Mapping[str, float]) -> tuple[Action, ...]:
    """The bank for images (C, H, W) or signals (C, L); empty for other shapes."""
    if len(shape) == 3:
        return image_bank(shape, limits)
    return signal_bank(limits) if len(shape) == 2 else ()


def image_bank(shape: tuple[int, ...], limits: Mapping[str, float]) -> tuple[Action, ...]:
    """Affine actions, flips, brightness, contrast and blur; saturation and hue for three channels.

    Args:
        shape: (C, H, W).
        limits: action name -> physical maximum, where it is not the default.
    """
    return tuple(_action(operation, limits) for operation in (COLOUR if shape[0] == 3 else GREY))


def apply_jointly(actions: Sequence[Action], x: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
    """Apply several actions to each input, in the order of the bank; strengths are (B,) by action name.

    Affine actions on images become ONE warp: resampling several times would blur what one rotation does not.
    """
    affine = [action for action in actions if x.ndim == 4 and action.name in _AFFINE]
    if len(affine) > 1:
        physical = {FIELD[Operation(a.name)]: strengths[a.name] * a.limit for a in affine}
        x = warp(x, affine_matrix(AffineParameters(**physical), x.shape[-2], x.shape[-1]))
        actions = [action for action in actions if action not in affine]
    for action in actions:
        x = action.apply(x, strengths[action.name])
    return x


def absent(name: str, bank: Collection[str]) -> str:
    """A hint for a name that the bank lacks: why, where that is known, else the nearest one."""
    listed = f"known: {', '.join(sorted(bank))}"
    if name in (Operation.SATURATION, Operation.HUE) and Operation.ROTATION in bank:
        return f"`{name}` needs images of three channels; {listed}"
    if name in COLOUR:
        return f"`{name}` is of the standard bank of images, not of this one; {listed}"
    if name in set(Operation):
        return f"`{name}` is an operation of policies alone; {listed}"
    return nearest(name, bank)


def require_limits(limits: Mapping[str, float], bank: Mapping[str, Action]) -> None:
    """Raises UserError where a limit is of nothing in the bank, or beyond what means anything."""
    for name, limit in limits.items():
        if name not in bank:
            raise UserError("`limits` must name actions of the transform bank", name, absent(name, bank))
        if limit > (most := meaningful(bank[name])):
            raise UserError(f"the limit of `{name}` is at most {most:g} {bank[name].unit}".rstrip(), limit,
                            f"more means nothing; {bank[name].limit:g} where it is left out")


def meaningful(action: Action) -> float:
    """The largest limit that means anything; infinite for actions of other units than those of `spaces.transforms`."""
    if action.name in SWITCHES:
        return 1.0
    ours = action.name in set(Operation) and action.unit == TRANSFORMS[Operation(action.name)].unit
    return MEANINGFUL.get(Operation(action.name), math.inf) if ours else math.inf


def wider(action: Action, reach: float) -> str:
    """A hint for a reach beyond the bank's limit."""
    most = meaningful(action)
    beyond = f"more than {f'{most:g} {action.unit}'.rstrip()} means nothing"
    if reach <= most:
        return f"a wider one needs `limits: {{{action.name}: {reach:g}}}` in the problem"
    if most > action.limit:
        return f"{beyond}; up to that, raise `limits` in the problem"
    return beyond


def _action(operation: Operation, limits: Mapping[str, float]) -> Action:
    transform = TRANSFORMS[operation]
    limit = limits.get(operation.value, WIDER.get(operation, transform.limit))
    applied = partial(_applied, operation, limit)
    return Action(operation.value, transform.unit, limit, transform.signed, applied)


def _applied(operation: Operation, limit: float, x: Tensor, v: Tensor) -> Tensor:
    return apply(operation, x, v, limit=limit)

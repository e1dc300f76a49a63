"""Actions on drawn characters that the standard bank leaves out: the level of an even background, and stroke width.

A problem names them in its `actions`. Axes: B batch, C channels, H height, W width, S stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from tracking.errors import UserError
from trainables.problems.problem import Action

Bank = Callable[[tuple[int, ...], Mapping[str, float]], tuple[Action, ...]]
THINNING = 1 / 3  # how far a stroke is eroded where it would be dilated by 1: strokes are thin


class Extra(StrEnum):
    """What may be added to the transform bank of grey images."""

    BACKGROUND = "background"
    STROKE = "stroke"


DEFAULTS = {Extra.BACKGROUND: 99 / 255, Extra.STROKE: 3.0}


def extended(bank: Bank, extras: tuple[Extra, ...]) -> Bank:
    """The bank with these actions after its own ones."""
    return partial(_extended, bank, extras) if extras else bank


def _extended(
    bank: Bank, extras: tuple[Extra, ...], shape: tuple[int, ...], limits: Mapping[str, float]
) -> tuple[Action, ...]:
    if len(shape) != 3 or shape[0] != 1:
        raise UserError(f"the actions {', '.join(extras)} need grey images (1, H, W)", shape, "leave `actions` out")
    return (*bank(shape, limits), *(_action(extra, limits.get(extra, DEFAULTS[extra])) for extra in extras))


def _action(extra: Extra, limit: float) -> Action:
    if extra is Extra.BACKGROUND:
        return Action(extra.value, "intensity", limit, False, partial(background, limit))
    return Action(extra.value, "px", limit, True, partial(stroke, limit))


def background(limit: float, x: Tensor, v: Tensor) -> Tensor:
    """Pixels of an image's most frequent value are raised to v * limit, v in [0, 1] (B,); all others stay.

    On characters on black, with v uniform and the default limit, the nuisance of K49-BG-LT (Zhou et al. 2022), there in
    whole levels of 255. A level that is higher already stays. The lowest value would not do in the place of the most
    frequent one: once a background is raised, the soft edges of strokes are darker.
    """
    ground = x.flatten(1).mode(1).values[:, None, None, None]
    level = (v * limit).clamp(max=1)[:, None, None, None].to(x)
    return torch.where(x == ground, torch.maximum(level, ground), x)


def stroke(limit: float, x: Tensor, v: Tensor) -> Tensor:
    """Bright strokes grow by p = v * limit pixels where v > 0, and shrink by |p| / 3 where v < 0; v (B,) in [-1, 1].

    Growing by a whole p is a dilation with a square of p + 1 pixels, shrinking an erosion; between whole numbers the
    two nearest are blended, so that p = 0 is the identity and all is differentiable in v. Zhou et al. (2022) draw
    dilations of 2, 3, 4 pixels (60 %) and erosions of 1 or 2: uniform v with the default limit is that, continuous and
    in equal parts.
    """
    stages = _stages(limit)
    made = torch.stack([_morphed(x, p) for p in stages])  # (S, B, C, H, W)
    p = torch.where(v > 0, v * limit, v * limit * THINNING)
    weights = (1 - (p[None] - torch.tensor(stages, device=x.device, dtype=x.dtype)[:, None]).abs()).clamp(min=0)
    return (weights[..., None, None, None].to(x) * made).sum(0)


def _stages(limit: float) -> list[float]:
    """Whole pixels that p may lie between."""
    most = int(-(-limit // 1))
    least = int(-(-limit * THINNING // 1))
    return [float(p) for p in range(-least, most + 1)]


def _morphed(x: Tensor, p: float) -> Tensor:
    """Dilated (p > 0) or eroded (p < 0) by a square of |p| + 1 pixels; beyond the border nothing is added or lost."""
    if p == 0:
        return x
    side, sign = int(abs(p)) + 1, 1.0 if p > 0 else -1.0
    before, after = side // 2, side - 1 - side // 2
    surrounded = pad(sign * x, (before, after, before, after), value=-torch.inf)
    return sign * max_pool2d(surrounded, side, stride=1)

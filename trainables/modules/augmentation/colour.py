"""Learned colour transformations: brightness, contrast, saturation and hue as one matrix per image.

Axes: B images (B, C, H, W) in [0, 1], Q operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from spaces.transforms import MEANINGFUL, TRANSFORMS, Operation
from spaces.transforms.numerics import clamp_unit
from tracking.errors import UserError
from trainables.modules.augmentation.ranged import ImageLayer
from trainables.modules.augmentation.ranges import Parametrisation

GREY = (Operation.BRIGHTNESS, Operation.CONTRAST)
COLOUR = (*GREY, Operation.SATURATION, Operation.HUE)
_LUMA = torch.tensor([0.299, 0.587, 0.114])


class LearnedColor(ImageLayer[Operation]):
    """x' = H S (g + (1 + c) ((1 + b) x - g)): one affine map of the colours per image, then clamped to [0, 1].

    b brightens, c is contrast about the mean luma g of what was brightened (the mean of all channels unless there are
    three), S = (1 + s) I - s 1 l^T saturates about the luma l, and H
    turns the colours about the grey axis by v turns. Each of the four is uniform in a learned range. As b, c and s are
    those of `spaces.transforms`, one alone equals the operation there; the hue does not: a turn about the grey axis is
    linear and smooth, HSV's is neither. Nothing is clamped in between.

    Args:
        operations: of COLOUR, without repetition; images that are not RGB have GREY only.
        caps: largest ranges where they differ from the operations' own limits.
        start: see `Ranges`.

    Raises:
        UserError: an operation that does not act on colours, or is named twice; a cap at which a factor would be
            negative, or of hue beyond half a turn.
    """

    MEANINGFUL: ClassVar[Mapping[str, float]] = {operation: MEANINGFUL[operation] for operation in COLOUR}

    def __init__(
        self, operations: Sequence[Operation] = COLOUR, caps: Mapping[Operation, float] | None = None,
        start: float | Sequence[float] = 1 / 8, parametrisation: Parametrisation = Parametrisation.SIGMOID,
    ) -> None:
        known = {operation: TRANSFORMS[operation].limit for operation in COLOUR}
        units = {operation: TRANSFORMS[operation].unit for operation in COLOUR}
        super().__init__(operations, known, units, caps, start, parametrisation)
        self.register_buffer("luma", _LUMA.clone(), persistent=False)

    luma: Tensor

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().check(shape, dtype)
        coloured = [str(operation) for operation in self.operations if operation not in GREY]
        if coloured and shape[0] != 3:
            raise UserError(f"{', '.join(coloured)} need RGB images", f"{shape[0]} channels",
                            "pass operations=GREY: brightness and contrast")

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        v = dict(zip(self.operations, self.strengths(noise, active, wide.dtype).unbind(-1), strict=True))
        zero = torch.zeros_like(noise[:, 0], dtype=wide.dtype)
        with torch.autocast(x.device.type, enabled=False):
            gain = 1 + v.get(Operation.BRIGHTNESS, zero)
            contrast = v.get(Operation.CONTRAST, zero)
            mean = wide.mean((-2, -1))
            luma = mean @ self.luma.to(mean) if x.shape[1] == 3 else mean.mean(-1)
            offset = -contrast * gain * luma  # (B,), the same in every channel
            scaled = (1 + contrast) * gain
            if any(operation not in GREY for operation in self.operations):
                turned = self._turned(v.get(Operation.SATURATION, zero), v.get(Operation.HUE, zero))
                mixed = torch.baddbmm(offset[:, None, None], scaled[:, None, None] * turned, wide.flatten(2))
            else:
                mixed = torch.addcmul(offset[:, None, None], scaled[:, None, None], wide.flatten(2))
        return clamp_unit(mixed).view_as(x).to(x.dtype)

    def _turned(self, saturation: Tensor, hue: Tensor) -> Tensor:
        """H S (B, 3, 3); both leave grey where it is, so they do not see the offset."""
        eye = torch.eye(3, dtype=hue.dtype, device=hue.device)
        saturated = eye + saturation[:, None, None] * (eye - self.luma.to(hue).expand(3, 3))
        angle = 2 * math.pi * hue[:, None, None]
        grey = torch.full_like(eye, 1 / 3)
        across = (eye.roll(-1, 1) - eye.roll(1, 1)) / math.sqrt(3)  # the grey axis times a colour; red turns to green
        return (grey + angle.cos() * (eye - grey) + angle.sin() * across) @ saturated

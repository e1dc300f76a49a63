"""A fixed augmentation by the ranges that people give it: what learned ranges are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from spaces.transforms import GEOMETRIC, Operation
from tracking.errors import UserError
from trainables.modules.augmentation.affine import LearnedAffine
from trainables.modules.augmentation.colour import COLOUR, LearnedColor
from trainables.modules.augmentation.compose import Compose
from trainables.modules.augmentation.flip import LearnedFlip
from trainables.modules.augmentation.layer import AugmentationLayer
from trainables.modules.augmentation.ranged import Name, RangedLayer
from trainables.modules.augmentation.ranges import Parametrisation
from trainables.modules.augmentation.signals import LearnedSignal, SignalOperation

FLIPS = (Operation.FLIP_HORIZONTAL, Operation.FLIP_VERTICAL)
OF_IMAGES, OF_SIGNALS = (*GEOMETRIC, *FLIPS, *COLOUR), tuple(SignalOperation)


def fixed_layer(shape: tuple[int, ...], ranges: Mapping[str, float], sample_rate: float = 1.0) -> AugmentationLayer:
    """The operations that are named, all on every input: one warp, flips and one colour map; or those of signals.

    Args:
        shape: of one input, (C, H, W) or (C, L).
        ranges: half-width, or probability of a flip, by operation in its unit; above 0, a probability below 1.
        sample_rate: of signals, per second.

    Raises:
        UserError: no operation, one that does not suit the inputs, or a range that means nothing.
    """
    if len(shape) not in (2, 3):
        raise UserError("a fixed augmentation is for images (C, H, W) or signals (C, L)", tuple(shape),
                        "use the method `plain` for other inputs")
    known: tuple[str, ...] = OF_IMAGES if len(shape) == 3 else OF_SIGNALS
    unknown = sorted(set(ranges) - {str(one) for one in known})
    if unknown or not ranges:
        raise UserError(f"a fixed augmentation of inputs {tuple(shape)} names operations of theirs",
                        ", ".join(unknown) or "none", f"choose among {', '.join(known)}")
    parts = _of_images(ranges) if len(shape) == 3 else _of_signals(shape, ranges, sample_rate)
    layer = Compose(*parts)
    layer.check(shape, torch.float32)
    return layer


def _of_images(ranges: Mapping[str, float]) -> list[AugmentationLayer]:
    softplus = Parametrisation.SOFTPLUS  # a sigmoid never reaches its cap, which may be asked for
    warped, flipped, coloured = ([one for one in some if one in ranges] for some in (GEOMETRIC, FLIPS, COLOUR))
    parts: list[AugmentationLayer] = []
    if warped:
        parts.append(_at(LearnedAffine(warped, parametrisation=softplus), ranges))
    if flipped:
        parts.append(_at(LearnedFlip(flipped, dict.fromkeys(flipped, 1.0)), ranges))
    if coloured:
        parts.append(_at(LearnedColor(coloured, parametrisation=softplus), ranges))
    return parts


def _of_signals(shape: tuple[int, ...], ranges: Mapping[str, float], rate: float) -> list[AugmentationLayer]:
    named = [one for one in SignalOperation if one in ranges]
    # A shift is checked against the rate where caps are.
    shift = SignalOperation.FREQUENCY_SHIFT
    caps: dict[SignalOperation, float] = {shift: ranges[shift]} if ranges.get(shift, 0.0) > 0 else {}
    layer = LearnedSignal(shape[1], rate, shape[0], named, caps, parametrisation=Parametrisation.SOFTPLUS)
    return [_at(layer, ranges)]


def _at(layer: RangedLayer[Name], ranges: Mapping[str, float]) -> RangedLayer[Name]:
    wanted = {operation: ranges[operation] for operation in layer.operations}
    layer.require_meaning(wanted)
    layer.ranges.set_widths(list(wanted.values()))
    return layer

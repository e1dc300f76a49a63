"""The learned augmentation for inputs of a shape, and ranges by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spaces.transforms import GEOMETRIC, Operation
from tracking.errors import UserError, nearest
from trainables.modules.augmentation.affine import LearnedAffine
from trainables.modules.augmentation.colour import COLOUR, GREY, LearnedColor
from trainables.modules.augmentation.compose import Compose
from trainables.modules.augmentation.flip import LearnedFlip
from trainables.modules.augmentation.layer import AugmentationLayer
from trainables.modules.augmentation.ranged import RangedLayer
from trainables.modules.augmentation.signals import LearnedSignal, SignalOperation

FLIPS = (Operation.FLIP_HORIZONTAL,)
OPERATIONS = tuple(str(one) for one in (*GEOMETRIC, *FLIPS, *COLOUR, *SignalOperation))  # of all standard layers


def standard_layer(
    shape: tuple[int, ...], start: float = 1 / 8, caps: Mapping[str, float] | None = None, sample_rate: float = 1.0
) -> AugmentationLayer:
    """For images (C, H, W) one warp, a horizontal flip and one colour map; for signals (C, L) shift, phase and noise.

    Args:
        start: of every range, as a share of its cap.
        caps: largest ranges by operation, where they differ from the layers' own.
        sample_rate: of signals, per second.

    Raises:
        UserError: other shapes, a cap of an operation that is not there.
    """
    given = dict(caps or {})
    layer: AugmentationLayer
    if len(shape) == 3:
        colours = COLOUR if shape[0] == 3 else GREY
        known = [str(operation) for operation in (*GEOMETRIC, *FLIPS, *colours)]

        def own(operations: Sequence[Operation]) -> dict[Operation, float]:
            return {operation: given[operation] for operation in operations if operation in given}

        layer = Compose(
            LearnedAffine(GEOMETRIC, own(GEOMETRIC), start), LearnedFlip(FLIPS, own(FLIPS), start),
            LearnedColor(colours, own(colours), start),
        )
    elif len(shape) == 2:
        known = [str(operation) for operation in SignalOperation]
        heard = {operation: given[operation] for operation in SignalOperation if operation in given}
        layer = LearnedSignal(shape[1], sample_rate, shape[0], caps=heard, start=start)
    else:
        raise UserError("learned ranges need images (C, H, W) or signals (C, L)", shape,
                        "use the method `plain` for other inputs")
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise UserError("a cap must name an operation of the layer", unknown[0], nearest(unknown[0], known))
    return layer


def widths(layer: AugmentationLayer) -> dict[str, float]:
    """Upper bounds (or probabilities) by operation: what `set_widths` takes."""
    return {str(one.name): one.high for one in layer.learned()}


def set_widths(layer: AugmentationLayer, wanted: Mapping[str, float]) -> None:
    """Put all ranges of a layer without selection where they are wanted.

    Raises:
        UserError: names that are not the layer's, or ranges outside (0, cap), or beyond what means anything.
    """
    names = [str(one.name) for one in layer.learned()]
    if set(wanted) != set(names):
        raise UserError("fixed ranges must name each operation once", sorted(wanted), f"expected {', '.join(names)}")
    values = iter([wanted[name] for name in names])
    for part in layer.modules():
        if isinstance(part, RangedLayer):
            own = {operation: next(values) for operation in part.operations}
            part.require_meaning(own)
            part.ranges.set_widths(list(own.values()))

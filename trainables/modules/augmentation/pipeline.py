"""A learned augmentation as an ordinary pipeline of torchvision.transforms.v2: to be used without any of our code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torchvision.transforms import InterpolationMode, v2

from spaces.transforms import Operation, Padding
from tracking.errors import UserError
from trainables.modules.augmentation.affine import LearnedAffine
from trainables.modules.augmentation.colour import LearnedColor
from trainables.modules.augmentation.compose import Compose
from trainables.modules.augmentation.flip import LearnedFlip
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange
from trainables.modules.augmentation.select import SelectLayer

_JITTER = {
    Operation.BRIGHTNESS: "brightness", Operation.CONTRAST: "contrast", Operation.SATURATION: "saturation",
    Operation.HUE: "hue",
}
_FLIPS = {Operation.FLIP_HORIZONTAL: "RandomHorizontalFlip", Operation.FLIP_VERTICAL: "RandomVerticalFlip"}
_SAID = (
    "# torchvision's ways, which training did not have: zooms are uniform in the factor, shears in the angle, shifts\n"
    "# are whole pixels, hue is turned in HSV, colours change in random order.\n"
)


class Step(NamedTuple):
    """One transform: its class in `v2`, its arguments, and for a choice its options with their weights."""

    name: str
    arguments: dict[str, Any]
    options: tuple[tuple[Step, ...], ...] = ()


def pipeline(layer: AugmentationLayer) -> v2.Transform:
    """The fixed transform for single images in [0, 1], (C, H, W).

    Uniform in the same ranges, with torchvision's own conventions where they differ: zooms are uniform in the factor
    and not in its logarithm, shears in the angle and not in its tangent; the four colour operations come in random
    order, and hue is turned in HSV; shifts are whole pixels; warps are bilinear, and what lies outside is zero.

    Raises:
        UserError: a layer that torchvision has no counterpart of (signals, the Lie algebra, reflection at borders), or
            ranges that it refuses or would cut.
    """
    cut = [one.name for one in layer.learned() if one.unit == "factor" and one.high > 1]
    if cut:
        raise UserError("torchvision cuts colour factors at zero: a range may be 1 at most", ", ".join(cut))
    try:
        return v2.Compose([_built(step) for step in steps(layer)])
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError("torchvision must take the ranges", error, "use the module itself") from None


def source(layer: AugmentationLayer) -> str:
    """Python text that makes `pipeline(layer)`; raises as it does."""
    pipeline(layer)
    lines = ",\n".join(f"    {_written(step)}" for step in steps(layer))
    imports = "from torchvision.transforms import InterpolationMode, v2"
    return f"{_SAID}{imports}\n\naugmentation = v2.Compose([\n{lines},\n])\n"


def steps(layer: AugmentationLayer) -> tuple[Step, ...]:
    """What the pipeline is made of."""
    if isinstance(layer, Compose):
        return tuple(step for inner in layer.parts() for step in steps(inner))
    if isinstance(layer, SelectLayer):
        learned = layer.learned()
        options = tuple(_steps(layer.layer, [one]) for one in learned)
        return (Step("RandomChoice", {"p": [round(one.weight, 6) for one in learned]}, options),)
    return _steps(layer, layer.learned())


def _steps(layer: AugmentationLayer, learned: Sequence[LearnedRange]) -> tuple[Step, ...]:
    if not _has_counterpart(layer):
        raise UserError("torchvision has no counterpart of this layer", type(layer).__name__, "use the module itself")
    width = {Operation(one.name): round(one.high, 6) for one in learned}
    if isinstance(layer, LearnedAffine):
        return (Step("RandomAffine", _affine(width)),)
    if isinstance(layer, LearnedColor):
        return (Step("ColorJitter", {_JITTER[operation]: r for operation, r in width.items()}),)
    return tuple(Step(_FLIPS[operation], {"p": p}) for operation, p in width.items())


def _has_counterpart(layer: AugmentationLayer) -> bool:
    zeros = isinstance(layer, LearnedAffine) and layer.padding is Padding.ZEROS
    return zeros or isinstance(layer, LearnedColor | LearnedFlip)


def _affine(width: dict[Operation, float]) -> dict[str, Any]:
    found: dict[str, Any] = {"degrees": width.get(Operation.ROTATION, 0.0)}
    shift = [width.get(operation, 0.0) for operation in (Operation.TRANSLATE_X, Operation.TRANSLATE_Y)]
    if any(shift):
        found["translate"] = tuple(shift)
    if zoom := width.get(Operation.SCALE):
        found["scale"] = (round(math.exp(-zoom), 6), round(math.exp(zoom), 6))
    shear = [math.degrees(math.atan(width.get(operation, 0.0))) for operation in (Operation.SHEAR_X, Operation.SHEAR_Y)]
    if any(shear):
        found["shear"] = tuple(round(sign * angle, 6) for angle in shear for sign in (-1, 1))
    return found


def _built(step: Step) -> v2.Transform:
    made = getattr(v2, step.name)
    if step.options:
        return made([v2.Compose([_built(one) for one in option]) for option in step.options], **step.arguments)
    if step.name == "RandomAffine":
        return made(**step.arguments, interpolation=InterpolationMode.BILINEAR, fill=None)
    return made(**step.arguments)


def _written(step: Step) -> str:
    arguments = [f"{name}={value!r}" for name, value in step.arguments.items()]
    if step.options:
        options = ", ".join(f"v2.Compose([{', '.join(map(_written, option))}])" for option in step.options)
        arguments.insert(0, f"[{options}]")
    if step.name == "RandomAffine":
        # A fill of zero is blended in a second time, by a mask that is itself interpolated: borders would be too dark.
        arguments += ["interpolation=InterpolationMode.BILINEAR", "fill=None"]
    return f"v2.{step.name}({', '.join(arguments)})"

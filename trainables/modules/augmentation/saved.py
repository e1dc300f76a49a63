"""A layer from its `state_dict` alone: which layer it is of stands in the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from spaces.transforms import Operation, Padding
from tracking.errors import UserError
from trainables.modules.augmentation.affine import LearnedAffine, LieAffine
from trainables.modules.augmentation.colour import LearnedColor
from trainables.modules.augmentation.compose import Compose
from trainables.modules.augmentation.flip import LearnedFlip
from trainables.modules.augmentation.instance import InstanceRanges
from trainables.modules.augmentation.layer import AugmentationLayer, configuration_of
from trainables.modules.augmentation.published import AugNetLayer
from trainables.modules.augmentation.ranges import Parametrisation
from trainables.modules.augmentation.select import Selection, SelectLayer
from trainables.modules.augmentation.signals import LearnedSignal, SignalOperation

Fields = Mapping[str, Any]
Inner = Callable[[str], AugmentationLayer]  # name of a part -> the layer it is
KEY = "_extra_state"


def restored(state: Mapping[str, Tensor]) -> AugmentationLayer:
    """The layer that a `state_dict` is of, with its ranges.

    Args:
        state: of a layer of this package, such as `torch.load("augmentation.pt", weights_only=True)`.

    Raises:
        UserError: a state of something else, or of a layer that is not of this package.
    """
    layer = _made(state, "")
    kind = next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32)
    layer.to(kind).load_state_dict(dict(state))
    return layer


def _made(state: Mapping[str, Tensor], prefix: str) -> AugmentationLayer:
    if prefix + KEY not in state:
        raise UserError("a layer is made from the state of one", f"no {prefix}{KEY} in {sorted(state)[:5]}")
    fields = configuration_of(state[prefix + KEY])
    make = _MAKERS.get(fields["layer"])
    if make is None:
        raise UserError("only layers of this package are made from their states", fields["layer"],
                        f"make it yourself and use `load_state_dict`; known are {', '.join(_MAKERS)}")
    return make(fields, lambda name: _made(state, f"{prefix}{name}."))


def _operations(fields: Fields) -> list[Operation]:
    return [Operation(name) for name in fields["operations"]]


def _signal(fields: Fields, inner: Inner) -> AugmentationLayer:
    return LearnedSignal(
        fields["length"], fields["rate"], fields["channels"], [SignalOperation(name) for name in fields["operations"]],
        parametrisation=Parametrisation(fields["parametrisation"]),
    )


# Caps are numbers of the state; what is made here has its own until the state is loaded.
_MAKERS: Mapping[str, Callable[[Fields, Inner], AugmentationLayer]] = {
    LearnedAffine.__name__: lambda fields, _: LearnedAffine(
        _operations(fields), parametrisation=Parametrisation(fields["parametrisation"]),
        padding=Padding(fields["padding"]),
    ),
    LieAffine.__name__: lambda fields, _: LieAffine(
        parametrisation=Parametrisation(fields["parametrisation"]), padding=Padding(fields["padding"]),
    ),
    LearnedColor.__name__: lambda fields, _: LearnedColor(
        _operations(fields), parametrisation=Parametrisation(fields["parametrisation"]),
    ),
    LearnedFlip.__name__: lambda fields, _: LearnedFlip(_operations(fields)),
    LearnedSignal.__name__: _signal,
    SelectLayer.__name__: lambda fields, inner: SelectLayer(
        inner("layer"), fields["temperature"], Selection(fields["mode"]),
    ),
    AugNetLayer.__name__: lambda fields, _: AugNetLayer(fields["temperature"]),
    InstanceRanges.__name__: lambda fields, inner: InstanceRanges(
        inner("layer"), tuple(fields["shape"]), width=fields["width"],
    ),
    Compose.__name__: lambda fields, inner: Compose(*(inner(f"layers.{k}") for k in range(fields["count"]))),
}

"""Puts sharing patterns into any network: its convolutions and linear layers are exchanged, the last layer stays."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Generator, nn
from torch.nn.modules.conv import _ConvNd

from tracking.errors import UserError
from trainables.modules.sharing import (
    Diagonal,
    FullSharing,
    Gain,
    KroneckerSharing,
    SharedConv2d,
    SharedLayer,
    SharedLinear,
    Sharing,
)


class Pattern(StrEnum):
    """Forms of U."""

    FULL = "full"
    KRONECKER = "kronecker"
    GAIN = "gain"          # no sharing: one step size
    DIAGONAL = "diagonal"  # no sharing: a step size per weight


def shared(network: nn.Module, pattern: Pattern, latent: int, deviation: float, generator: Generator) -> nn.Module:
    """The network with patterns in its layers, changed in place.

    A single layer is given one; of several the last stays plain, since a head has no symmetry. All forms but FULL
    compute at the start what the plain network does.

    Args:
        latent, deviation: of FULL; k is at most a layer's size where there are several layers.
        generator: of FULL's entries.

    Raises:
        UserError: there is no layer to exchange, a convolution that no pattern is for, or `latent` exceeds the largest
            layer's size.
    """
    for module in network.modules():
        if isinstance(module, _ConvNd) and not isinstance(module, nn.Conv2d):
            raise UserError("patterns are for linear layers and Conv2d", str(module), "use the network `small_cnn`")
    places = [(path, module) for path, module in network.named_modules() if isinstance(module, _KINDS)]
    chosen = places if len(places) == 1 else places[:-1]
    if not chosen:
        raise UserError("a pattern needs a layer to be in", type(network).__name__, "linear, or Conv2d of stride 1")
    largest = max(_weight(module).numel() for _, module in chosen)
    if pattern is Pattern.FULL and latent > largest:
        raise UserError(f"`latent` must lie in 1 to {largest}, the largest layer's number of weights", latent)
    for path, module in chosen:
        shape = tuple(_weight(module).shape)
        form = _form(pattern, shape, min(latent, _weight(module).numel()), deviation, generator)
        parent = network.get_submodule(path.rpartition(".")[0])
        setattr(parent, path.rpartition(".")[2], _exchanged(module, form, generator))
    return network


def _form(pattern: Pattern, shape: tuple[int, ...], latent: int, deviation: float, generator: Generator) -> Sharing:
    if pattern is Pattern.FULL:
        return FullSharing(shape, latent, generator, deviation)
    forms: dict[Pattern, type[Sharing]] = {
        Pattern.KRONECKER: KroneckerSharing, Pattern.GAIN: Gain, Pattern.DIAGONAL: Diagonal,
    }
    return forms[pattern](shape)


def _weight(module: nn.Module) -> torch.Tensor:
    return module.weight  # type: ignore[return-value]


def _exchanged(module: nn.Module, form: Sharing, generator: Generator) -> SharedLayer:
    bias = module.bias if isinstance(module.bias, nn.Parameter) else None
    if isinstance(module, (nn.Linear, SharedLinear)):
        layer: SharedLayer = SharedLinear(form, bias is not None, generator)
    else:
        assert isinstance(module, (nn.Conv2d, SharedConv2d))
        padding = module.padding if isinstance(module.padding, int) else _square(module)
        layer = SharedConv2d(form, bias is not None, generator, padding)
    layer = layer.to(_weight(module).device)
    with torch.no_grad():
        if form.start == form.shape:  # v has W's shape, and U begins as the identity
            layer.filter.copy_(_weight(module))
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def _square(module: nn.Conv2d | SharedConv2d) -> int:
    """The padding of a convolution that `SharedConv2d` can stand for; UserError for others."""
    if isinstance(module, SharedConv2d):
        return module.padding
    kind = (module.stride, module.dilation, module.groups, module.padding_mode)
    plain = kind == ((1, 1), (1, 1), 1, "zeros")
    if not plain or isinstance(module.padding, str) or module.padding[0] != module.padding[1]:
        raise UserError(
            "patterns are for convolutions of stride 1, without groups or dilation, evenly padded with zeros",
            str(module), "use the network `small_cnn`",
        )
    return module.padding[0]


_KINDS = (nn.Linear, nn.Conv2d, SharedLinear, SharedConv2d)

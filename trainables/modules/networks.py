"""House networks by name; every method of a comparison trains the same one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import prod

import torch
from torch import Tensor, nn

from tracking.errors import UserError, nearest
from trainables.method import NetworkBuilder


class Network(StrEnum):
    """Networks that a study can name."""

    SMALL_CNN = "small_cnn"
    CONV4 = "conv4"
    MLP = "mlp"
    RESNET18 = "resnet18"


def names() -> tuple[str, ...]:
    return tuple(network.value for network in Network)


def builder(name: str, extra: Sequence[str] = ()) -> NetworkBuilder:
    """The builder (shape, outputs) -> module of a house network.

    Args:
        name: one of `names()`.
        extra: further names that exist elsewhere (plug-ins); they only improve the message.

    Raises:
        UserError: there is no house network of that name; names the nearest.
    """
    if name not in names():
        raise UserError("there is no network of that name", name, nearest(name, {*names(), *extra}))
    builders: dict[Network, NetworkBuilder] = {
        Network.SMALL_CNN: small_cnn, Network.CONV4: conv4, Network.MLP: mlp, Network.RESNET18: resnet18,
    }
    return builders[Network(name)]


def small_cnn(shape: tuple[int, ...], outputs: int, widths: Sequence[int] = (16, 32, 32)) -> nn.Module:
    """Three convolution blocks, a linear head on the mean and the maximum over positions; 15k weights.

    GroupNorm, not BatchNorm: no statistics that couple examples or change in `predict`, and second
    derivatives (unrolled search) that mean what they say. Pooling over all positions makes it nearly
    invariant to small shifts.

    Args:
        shape: (C, H, W) with both sides of 4 pixels at least.
        outputs: length of the output vector.

    Raises:
        UserError: the input is not an image, or is too small.
    """
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise UserError("small_cnn needs images (C, H, W) from 4 x 4 on", shape, "use the network `mlp`")
    blocks: list[nn.Module] = []
    for index, (before, after) in enumerate(zip((shape[0], *widths[:-1]), widths, strict=True)):
        blocks += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
        if index < 2:
            blocks.append(nn.MaxPool2d(2))
    return nn.Sequential(*blocks, _GlobalPool(), nn.Linear(2 * widths[-1], outputs))


def conv4(shape: tuple[int, ...], outputs: int, width: int = 32) -> nn.Module:
    """The few-shot literature's four blocks (Vinyals et al. 2016; 32 filters as in MAML) under a linear head.

    GroupNorm instead of batch statistics, so that an output depends on its own input only; blocks halve the image while
    it has two pixels or more, and the head sees what positions are left.

    Raises:
        UserError: the input is not an image, or is too small.
    """
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise UserError("conv4 needs images (C, H, W) from 4 x 4 on", shape, "use the network `mlp`")
    blocks: list[nn.Module] = []
    channels, height, width_left = shape
    for _ in range(4):
        blocks += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
        if min(height, width_left) >= 2:
            blocks.append(nn.MaxPool2d(2))
            height, width_left = height // 2, width_left // 2
        channels = width
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(width * height * width_left, outputs))


def mlp(shape: tuple[int, ...], outputs: int, width: int = 128) -> nn.Module:
    """Two hidden layers on the flattened input, for signals and inputs of any shape."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(prod(shape), width), nn.LayerNorm(width), nn.ReLU(),
        nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(),
        nn.Linear(width, outputs),
    )


def resnet18(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """torchvision's ResNet-18 (He et al. 2016) without pre-trained weights; 11 million weights, for a GPU.

    GroupNorm, not BatchNorm, as in the other networks. Images below 64 pixels keep their resolution at first: a 3 x 3
    convolution of stride 1, no pooling.

    Raises:
        UserError: the input is not an image, or is too small.
    """
    if len(shape) != 3 or min(shape[1:]) < 8:
        raise UserError("resnet18 needs images (C, H, W) from 8 x 8 on", shape, "use the network `mlp`")
    from torchvision import models  # takes seconds to import

    network = models.resnet18(num_classes=outputs, norm_layer=lambda channels: nn.GroupNorm(8, channels))
    if min(shape[1:]) < 64:
        network.conv1, network.maxpool = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False), nn.Identity()
    elif shape[0] != 3:
        network.conv1 = nn.Conv2d(shape[0], 64, 7, 2, 3, bias=False)
    return network  # type: ignore[no-any-return]


class _GlobalPool(nn.Module):
    """(B, C, H, W) -> (B, 2C): mean and maximum over positions."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)

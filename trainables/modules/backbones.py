"""Trunks that an extractor can stand on beside our own: torchvision's residual networks, and any network by name.

All give one vector per image, and the descriptor conditions what comes after (`Begin.POOLED`). BatchNorm is replaced by
GroupNorm: statistics of a batch would mix descriptors in training and hold for none of them afterwards.
"""

from __future__ import annotations

from torch import Tensor, nn

from tracking.errors import UserError
from trainables import plugins
from trainables.modules.conditioned_tail import GROUPS, pool

TORCHVISION = "torchvision/"
SMALL = 64  # below this side the first layer of a torchvision network keeps the resolution, as is usual for CIFAR


def backbone(name: str, shape: tuple[int, int, int], outputs: int) -> nn.Module:
    """(B, C, H, W) -> (B, outputs).

    Args:
        name: `torchvision/resnet18` and its relatives, or a network of the house or of a plug-in.
        shape: of one image.

    Raises:
        UserError: there is no such network, it has no place for GroupNorm, or it has BatchNorm all the same.
    """
    if name.startswith(TORCHVISION):
        made: nn.Module = _Residual(name.removeprefix(TORCHVISION), shape, outputs)
    else:
        made = plugins.network_builder(name)(shape, outputs)
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in made.modules()):
        raise UserError("a trunk may not use BatchNorm: its statistics mix descriptors", name, "use GroupNorm")
    return made


class _Residual(nn.Module):
    """The convolutions of a torchvision ResNet without pre-trained weights, and means over the four quarters."""

    def __init__(self, name: str, shape: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        from torchvision import models  # takes seconds to import

        residual = [known for known in models.list_models(module=models) if known.startswith(("resnet", "resnext"))]
        if name not in residual:
            raise UserError("torchvision trunks are its residual networks", name, ", ".join(residual))
        network = models.get_model(name, weights=None, norm_layer=lambda channels: nn.GroupNorm(GROUPS, channels))
        width = network.conv1.out_channels
        if min(shape[1:]) < SMALL:
            network.conv1, network.maxpool = nn.Conv2d(shape[0], width, 3, 1, 1, bias=False), nn.Identity()
        elif shape[0] != 3:
            network.conv1 = nn.Conv2d(shape[0], width, 7, 2, 3, bias=False)
        layers = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        self.trunk = nn.Sequential(*(getattr(network, layer) for layer in layers))
        self.project = nn.Linear(4 * network.fc.in_features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(pool(self.trunk(x)))  # type: ignore[no-any-return]

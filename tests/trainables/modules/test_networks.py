"""The larger house networks: their sizes, what they refuse, and that no example sees another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tracking.errors import UserError
from trainables.modules.networks import builder, conv4, resnet18


@pytest.mark.parametrize(("shape", "resolution"), [((3, 32, 32), 32), ((1, 28, 28), 28), ((1, 64, 64), 16)])
def test_small_images_keep_their_resolution_at_first(shape: tuple[int, int, int], resolution: int) -> None:
    network = builder("resnet18")(shape, 7)
    x = torch.rand(2, *shape)
    assert network(x).shape == (2, 7)
    assert network.maxpool(network.conv1(x)).shape[-1] == resolution
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    torch.testing.assert_close(network(x)[:1], network(x[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 100), (7,)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="resnet18 needs images"):
        resnet18(shape, 2)


def test_conv4_has_four_blocks_and_a_head_over_what_positions_are_left() -> None:
    network = conv4((1, 28, 28), 5)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 4
    head = [*network.modules()][-1]
    assert isinstance(head, nn.Linear) and head.in_features == 32  # 28, 14, 7, 3, 1
    assert sum(p.numel() for p in network.parameters()) == 32 * 9 + 3 * 32 * 32 * 9 + 4 * 64 + 32 * 5 + 5
    with pytest.raises(UserError, match="conv4"):
        conv4((70,), 5)

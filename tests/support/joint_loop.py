"""Somebody else's training loop around an `InvariantModel`: what the acceptance runs of learned layers train with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import nll_loss

from trainables.modules.augmentation import AugmentationLayer, InvariantModel


def small_network(channels: int, classes: int, width: int = 8) -> nn.Module:
    """Four blocks of convolution, batch norm, ReLU and pooling, widths c, 2c, 4c, 8c, and a linear head (32 x 32)."""
    blocks: list[nn.Module] = []
    before = channels
    for after in (width, 2 * width, 4 * width, 8 * width):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def fitted(
    make: Callable[[], nn.Module], layer: AugmentationLayer, x: Tensor, y: Tensor, epochs: int, seed: int,
    paid: Callable[[], Tensor], batch: int = 128, rate: float = 5e-4, decay: float = 1.0,
    layer_rate: float | Mapping[str, float] = 3e-3,
) -> InvariantModel:
    """Adam with coupled decay, in shuffled epochs.

    Args:
        make: the trunk; its weights are drawn from the seed.
        paid: what is subtracted from the loss, 0-d.
        rate, decay: of the trunk; decay is coupled.
        layer_rate: of the layer's parameters, all alike or by name.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = InvariantModel(make(), layer)
    g = Generator().manual_seed(seed)
    optimiser = torch.optim.Adam([
        {"params": list(model.trunk.parameters()), "lr": rate, "weight_decay": decay},
        *({"params": [parameter], "lr": layer_rate if isinstance(layer_rate, float) else layer_rate[name]}
          for name, parameter in layer.named_parameters()),
    ])
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=g).split(batch):
            loss = nll_loss(model(x[rows], model.sample(len(rows), g)), y[rows])
            optimiser.zero_grad()
            (loss - paid()).backward()
            optimiser.step()
    return model

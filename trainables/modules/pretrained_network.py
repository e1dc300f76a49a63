"""The pre-trained trunk as an ordinary network, for methods that train weights: the same start for all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from trainables.method import Context, NetworkBuilder
from trainables.modules.amortised import NAME
from trainables.modules.extractor import Extractor


class PretrainedNetwork(nn.Module):
    """A linear head on the extractor with its descriptor all on; every weight can be trained."""

    def __init__(self, extractor: Extractor, outputs: int) -> None:
        super().__init__()
        self.trunk = extractor.bake(torch.ones(len(extractor.family.factors))).requires_grad_(True)
        self.head = nn.Linear(extractor.features, outputs)
        self._scale = math.sqrt(extractor.features)  # from unit length to unit variance

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self._scale * self.trunk(x))  # type: ignore[no-any-return]


def on_trunk(context: Context) -> Context:
    """The same context, whose network starts from the artefact `extractor`; its head is drawn as ever.

    Raises:
        UserError: the extractor was trained on images of another shape.
    """
    extractor = Extractor(context.artefacts[NAME].state)
    extractor.require(context.problem.shape)

    def build(shape: tuple[int, ...], outputs: int) -> nn.Module:
        return PretrainedNetwork(extractor, outputs)

    builder: NetworkBuilder = build
    return replace(context, network=builder)

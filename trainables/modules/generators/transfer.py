"""A learned generator at work: images in, images under another draw of the nuisance out.

Axes: B images, D style dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Generator, Tensor

from spaces.transforms import TRANSFORMS
from tracking.errors import UserError
from trainables.method import State, drawn
from trainables.modules.generators.kind import GeneratorKind
from trainables.modules.generators.measures import Measures
from trainables.modules.generators.spatial import CAPS, Draw, Redraws, WarpNetwork
from trainables.modules.generators.style_network import StyleNetwork, StyleNetworkConfig

CHUNK = 256  # images per forward pass: bounds memory


class Transfer(Protocol):
    """What a method uses of a generator."""

    def sample(self, x: Tensor, generator: Generator) -> Tensor: ...  # (B, C, H, W) in [0, 1], one draw each
    def describe(self) -> Mapping[str, float]: ...  # names as in `Describes`
    def collapsed(self) -> str | None: ...  # why it is not to be used, as a sentence


class StyleTransfer:
    """x' = G(E_c(x), s) with s ~ N(0, I); networks as in `style_network`.

    Args:
        state: of the artefact.
        device: where images come from.
    """

    def __init__(self, state: State, device: torch.device) -> None:
        config = StyleNetworkConfig.model_validate(state["network"])
        # Drawn, though weights are loaded over it: the constructors would move the global generator.
        made = drawn(lambda: StyleNetwork(int(state["shape"][0]), config), seed=0)
        assert isinstance(made, StyleNetwork)
        self._network = made.to(device).eval().requires_grad_(False)
        self._network.load_state_dict(state["weights"])
        self._dimensions = config.style_dimensions
        self._measures = Measures.of(state["measures"])

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        """One draw for each image; styles are drawn first, so that a result does not depend on the chunks."""
        styles = torch.randn(len(x), self._dimensions, generator=generator, device=generator.device).to(x)
        with torch.no_grad():
            made = [self._made(*pair) for pair in zip(torch.split(x, CHUNK), torch.split(styles, CHUNK), strict=True)]
        return torch.cat(made) if made else x

    def describe(self) -> Mapping[str, float]:
        assert self._measures.discriminator is not None
        return {
            "generator/diversity_ratio": self._measures.diversity_ratio,
            "generator/reconstruction": self._measures.reconstruction,
            "generator/discriminator": self._measures.discriminator,
        }

    def collapsed(self) -> str | None:
        return self._measures.collapsed()

    def _made(self, x: Tensor, styles: Tensor) -> Tensor:
        content = self._network.content(2 * x - 1)
        made = self._network.decode(content, styles, (x.shape[-2], x.shape[-1]))
        return ((made + 1) / 2).clamp(0, 1)


class SpatialTransfer:
    """x' on the orbit of x under warps, as in `spatial.Redraws`: one warp for each image.

    Args:
        state: of the artefact.
        device: where images come from.

    Raises:
        UserError: it is of a version that knew ranges alone.
    """

    def __init__(self, state: State, device: torch.device) -> None:
        if state.get("sizes", {}).get("bins", 0) % 2 == 0:  # there were none, and then they were even
            raise UserError("a generator must be of this version", "a spatial one of before", "train it again")
        network = drawn(lambda: WarpNetwork(tuple(state["shape"]), **state["sizes"]), seed=0)
        assert isinstance(network, WarpNetwork)
        network.load_state_dict(state["weights"])
        self._redraws = Redraws(network.to(device).eval().requires_grad_(False), float(state["nucleus"]))
        self._widths = {operation: float(state["widths"][operation.value]) for operation in CAPS}
        self._measures = Measures.of(state["measures"])

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        """One draw for each image; numbers are drawn first, so that a result does not depend on the chunks."""
        return self._redraws(x, Draw.of(x, generator))[0]

    def describe(self) -> Mapping[str, float]:
        """How wide draws are, see `spatial.half_width`, in the units of the operations; and the measures."""
        units = {operation: TRANSFORMS[operation].unit.replace(" ", "_") for operation in CAPS}
        informed = self._measures.informed
        return {
            **{f"{operation.value}/width_{units[operation]}": width for operation, width in self._widths.items()},
            "generator/diversity_ratio": self._measures.diversity_ratio,
            **({} if informed is None else {"generator/informed": informed}),
        }

    def collapsed(self) -> str | None:
        return self._measures.collapsed()


KINDS: Mapping[GeneratorKind, Callable[[State, torch.device], Transfer]] = {
    GeneratorKind.STYLE: StyleTransfer, GeneratorKind.SPATIAL: SpatialTransfer,
}


def load_transfer(state: State, shape: tuple[int, ...], device: torch.device) -> Transfer:
    """The generator that an artefact holds.

    Args:
        shape: of the images it is to be used on.

    Raises:
        UserError: it was trained on images of another shape.
    """
    if tuple(state["shape"]) != tuple(shape):
        raise UserError("a generator is used on images of the shape that it was trained on", tuple(shape),
                        f"this one knows {tuple(state['shape'])}")
    return KINDS[GeneratorKind(state["kind"])](state, device)

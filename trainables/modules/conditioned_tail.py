"""What a descriptor conditions: normalisations or kernels of an extractor's last layers.

Axes: G groups of images that share a descriptor, n images of a group, K factors, R bases, C channels, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, group_norm, layer_norm, linear, normalize, silu

GROUPS = 8   # of every normalisation
QUARTERS = 2  # along each side, that features are pooled to
CELLS = QUARTERS**2
HIDDEN = 64  # of the network that reads the descriptor
START = 0.5  # about the size of what the descriptor moves at initialisation, relative to what it moves

Layer = Callable[[Tensor], Tensor]


class Conditioning(StrEnum):
    """How the descriptor enters."""

    FILM = "film"        # (1 + gamma(i)) y + beta(i) after each normalisation (Perez et al. 2018)
    KERNELS = "kernels"  # W(i) = W_0 + sum_r a_r(i) B_r: the papers' hyper-network as a static kernel and R bases


class Begin(StrEnum):
    """From where on the descriptor conditions; what lies before is computed once per image."""

    BLOCK = "block"    # the last residual block and the projection
    POOLED = "pooled"  # the projection alone: another descriptor costs next to nothing


class ConditionedTail(nn.Module):
    """The last layers, for many descriptors at once.

    Args:
        before: C, channels of what comes in, or came in before it was pooled.
        features: D.
        factors: K.
        bases: R of `kernels`.
    """

    def __init__(
        self, begin: Begin, conditioning: Conditioning, before: int, features: int, factors: int, bases: int
    ) -> None:
        super().__init__()
        film = conditioning is Conditioning.FILM
        bases = 0 if film else bases
        wide = 2 * before if begin is Begin.BLOCK else before
        inside = 2 * wide
        self.begin, self.film = begin, film
        widths: tuple[int, ...] = (inside, inside)
        layers: list[Mixed] = [
            MixedLinear(shape, bases) for shape in ((inside, CELLS * wide), (inside, inside), (features, inside))
        ]
        if begin is Begin.BLOCK:
            layers = [MixedConv((wide, before, 3, 3), bases, 2), MixedConv((wide, wide, 3, 3), bases, 1), *layers]
            widths = (before, wide, *widths)
        self.norms = nn.ModuleList(Norm(width, film) for width in widths)
        self.layers = nn.ModuleList(layers)
        self.shortcut = nn.Conv2d(before, wide, 1, 2, bias=False) if begin is Begin.BLOCK else nn.Identity()
        self.moved = [2 * width for width in widths]
        self.reader = Reader(factors, sum(self.moved) if film else bases)

    def forward(self, response: Tensor, descriptors: Tensor) -> Tensor:
        """(G or 1, n, C, H, W), where pooled (G or 1, n, 4 C), with descriptors (G, K) -> (G, n, D) of length 1."""
        count, images = len(descriptors), response.shape[1]
        norms, layers = self.conditioned(descriptors)
        x = response.expand(count, *response.shape[1:]).flatten(0, 1)
        return through(self.begin, x, norms, layers, self.shortcut).view(count, images, -1)

    def conditioned(self, descriptors: Tensor) -> tuple[list[Layer], list[Layer]]:
        """The normalisations and the linear layers or convolutions under descriptors (G, K)."""
        read = self.reader(descriptors)
        pairs = read.split(self.moved, -1) if self.film else [None] * len(self.norms)
        mix = None if self.film else read
        norms = [_bound(norm, pair) for norm, pair in zip(self.norms, pairs, strict=True)]
        return norms, [_bound(layer, mix) for layer in self.layers]


def through(begin: Begin, x: Tensor, norms: Sequence[Layer], layers: Sequence[Layer], shortcut: Layer) -> Tensor:
    """(N, C, H, W) or (N, C) -> (N, D) of length 1; the one place that says in which order the layers act."""
    if begin is Begin.BLOCK:
        y = layers[0](silu(norms[0](x)))
        x = pool(layers[1](silu(norms[1](y))) + shortcut(x))
        norms, layers = norms[2:], layers[2:]
    for norm, layer in zip(norms, layers[:-1], strict=True):
        x = silu(norm(layer(x)))
    return normalize(layers[-1](x), dim=-1)


def pool(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4 C): means over the four quarters.

    Position is not averaged away here: where the descriptor asks for it, the projection can keep it.
    """
    if x.shape[-2:] == (QUARTERS, QUARTERS):  # one pixel in each: the mean would cost as much as a convolution
        return x.flatten(1)
    return adaptive_avg_pool2d(x, QUARTERS).flatten(1)


class Reader(nn.Module):
    """What the descriptor moves: an MLP of 2 i - 1, so that on and off are equally far from the centre."""

    def __init__(self, factors: int, outputs: int) -> None:
        super().__init__()
        last = nn.Linear(HIDDEN, outputs)
        nn.init.normal_(last.weight, std=START / HIDDEN**0.5)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(nn.Linear(factors, HIDDEN), nn.SiLU(), last)

    def forward(self, descriptors: Tensor) -> Tensor:
        return self.body(2 * descriptors - 1)  # type: ignore[no-any-return]


class Norm(nn.Module):
    """GroupNorm; its scale and offset come from the descriptor, or are ordinary weights."""

    def __init__(self, width: int, film: bool) -> None:
        super().__init__()
        self.width = width
        self.weight = None if film else nn.Parameter(torch.ones(width))
        self.bias = None if film else nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, moves: Tensor | None) -> Tensor:
        """x (G n, C) or (G n, C, h, w), moves (G, 2 C)."""
        if moves is None:
            return group_norm(x, GROUPS, self.weight, self.bias)
        scale, offset = moves.reshape(len(moves), 1, -1, *[1] * (x.dim() - 2)).chunk(2, 2)
        grouped = _normalised(x).view(len(moves), -1, *x.shape[1:])
        return torch.addcmul(offset, grouped, 1 + scale).flatten(0, 1)

    def baked(self, moves: Tensor | None) -> nn.GroupNorm:
        """With the moves (1, 2 C) as ordinary weights."""
        plain = nn.GroupNorm(GROUPS, self.width)
        scale, offset = (self.weight, self.bias) if moves is None else moves[0].chunk(2)
        assert scale is not None and offset is not None
        plain.load_state_dict({"weight": scale if moves is None else 1 + scale, "bias": offset})
        return plain


class Mixed(nn.Module):
    """The kernel W_0 + sum_r a_r B_r, one mixture per group; without bases an ordinary one.

    Args:
        shape: of the kernel: after, before, and for a convolution its two sides.
        bases: R.
    """

    def __init__(self, shape: tuple[int, ...], bases: int) -> None:
        super().__init__()
        scale = (2.0 / prod(shape[1:])) ** 0.5  # Kaiming, also for the bases: conditioning is on from the start
        self.weight = nn.Parameter(scale * torch.randn(shape))
        self.bases = nn.Parameter(scale * torch.randn(bases, *shape)) if bases else None

    def kernels(self, mix: Tensor | None) -> Tensor:
        """(G, *shape) of the mixtures (G, R)."""
        if mix is None or self.bases is None:
            return self.weight[None]
        kernels: Tensor = self.weight + torch.einsum("gr,r...->g...", mix, self.bases)
        return kernels

    def baked(self, mix: Tensor | None) -> nn.Module:
        """With the mixture (1, R) as an ordinary kernel."""
        plain = self.plain()
        plain.load_state_dict({"weight": self.kernels(mix)[0]})
        return plain

    def plain(self) -> nn.Module:
        """An ordinary layer of this shape."""
        raise NotImplementedError


class MixedLinear(Mixed):
    """A linear map. As a 1x1 convolution of 1x1 images it would take four times as long on a CPU."""

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        """x (G n, before), mix (G, R)."""
        if mix is None or self.bases is None:
            return linear(x, self.weight)
        return (x.view(len(mix), -1, x.shape[-1]) @ self.kernels(mix).mT).flatten(0, 1)

    def plain(self) -> nn.Module:
        after, before = self.weight.shape
        return nn.Linear(before, after, bias=False)


class MixedConv(Mixed):
    """A convolution."""

    def __init__(self, shape: tuple[int, int, int, int], bases: int, stride: int) -> None:
        super().__init__(shape, bases)
        self.stride, self.padding = stride, shape[-1] // 2

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        """x (G n, C, h, w), mix (G, R)."""
        if mix is None or self.bases is None:
            return conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        count = len(mix)
        side_by_side = x.view(count, -1, *x.shape[1:]).transpose(0, 1).flatten(1, 2)  # (n, G C, h, w)
        kernels = self.kernels(mix).flatten(0, 1)
        y = conv2d(side_by_side, kernels, stride=self.stride, padding=self.padding, groups=count)
        return y.view(len(y), count, -1, *y.shape[-2:]).transpose(0, 1).flatten(0, 1)

    def plain(self) -> nn.Module:
        after, before, side, _ = self.weight.shape
        return nn.Conv2d(before, after, side, self.stride, self.padding, bias=False)


def _normalised(x: Tensor) -> Tensor:
    """GroupNorm without weights; for vectors as a LayerNorm of each part, which is the same and twice as fast."""
    if x.ndim > 2:
        return group_norm(x, GROUPS)
    parts = x.view(len(x), GROUPS, -1)
    return layer_norm(parts, parts.shape[-1:]).flatten(1)


def _bound(layer: Callable[[Tensor, Tensor | None], Tensor], moves: Tensor | None) -> Layer:
    return lambda x: layer(x, moves)

"""What a descriptor conditions: normalisations or kernels of an extractor's last layers.

Axes: G groups of images that share a descriptor, n images of a group, K factors, R bases, C channels, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, group_norm, normalize, silu

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
        shapes: tuple[tuple[int, int, int, int], ...]
        widths: tuple[int, ...]
        if begin is Begin.BLOCK:
            shapes = ((before, wide, 3, 2), (wide, wide, 3, 1), (CELLS * wide, inside, 1, 1))
            widths = (before, wide, inside, inside)
        else:
            shapes = ((CELLS * wide, inside, 1, 1),)
            widths = (inside, inside)
        shapes = (*shapes, (inside, inside, 1, 1), (inside, features, 1, 1))
        self.norms = nn.ModuleList(Norm(width, film) for width in widths)
        self.convs = nn.ModuleList(MixedConv(*shape, bases) for shape in shapes)
        self.shortcut = nn.Conv2d(before, wide, 1, 2, bias=False) if begin is Begin.BLOCK else nn.Identity()
        self.moved = [2 * width for width in widths]
        self.reader = Reader(factors, sum(self.moved) if film else bases)

    def forward(self, response: Tensor, descriptors: Tensor) -> Tensor:
        """(G or 1, n, C, H, W), where pooled (G or 1, n, 4 C), with descriptors (G, K) -> (G, n, D) of length 1."""
        count, images = len(descriptors), response.shape[1]
        norms, convs = self.conditioned(descriptors)
        x = response.expand(count, *response.shape[1:]).flatten(0, 1)
        return through(self.begin, x, norms, convs, self.shortcut).view(count, images, -1)

    def conditioned(self, descriptors: Tensor) -> tuple[list[Layer], list[Layer]]:
        """The normalisations and convolutions under descriptors (G, K)."""
        read = self.reader(descriptors)
        pairs = read.split(self.moved, -1) if self.film else [None] * len(self.norms)
        mix = None if self.film else read
        norms = [_bound(norm, pair) for norm, pair in zip(self.norms, pairs, strict=True)]
        return norms, [_bound(conv, mix) for conv in self.convs]


def through(begin: Begin, x: Tensor, norms: Sequence[Layer], convs: Sequence[Layer], shortcut: Layer) -> Tensor:
    """(N, C, H, W) or (N, C) -> (N, D) of length 1; the one place that says in which order the layers act."""
    if begin is Begin.BLOCK:
        y = convs[0](silu(norms[0](x)))
        x = pool(convs[1](silu(norms[1](y))) + shortcut(x))
        norms, convs = norms[2:], convs[2:]
    y = x[..., None, None]
    for norm, conv in zip(norms, convs[:-1], strict=True):
        y = silu(norm(conv(y)))
    return normalize(convs[-1](y).flatten(1), dim=-1)


def pool(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4 C): means over the four quarters.

    Position is not averaged away here: where the descriptor asks for it, the projection can keep it.
    """
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
        """x (G n, C, h, w), moves (G, 2 C)."""
        y = group_norm(x, GROUPS, self.weight, self.bias)
        if moves is None:
            return y
        scale, offset = moves.repeat_interleave(len(x) // len(moves), 0)[..., None, None].chunk(2, 1)
        return y * (1 + scale) + offset

    def baked(self, moves: Tensor | None) -> nn.GroupNorm:
        """With the moves (1, 2 C) as ordinary weights."""
        plain = nn.GroupNorm(GROUPS, self.width)
        scale, offset = (self.weight, self.bias) if moves is None else moves[0].chunk(2)
        assert scale is not None and offset is not None
        plain.load_state_dict({"weight": scale if moves is None else 1 + scale, "bias": offset})
        return plain


class MixedConv(nn.Module):
    """A convolution with the kernel W_0 + sum_r a_r B_r, one mixture per group; without bases an ordinary one."""

    def __init__(self, before: int, after: int, side: int, stride: int, bases: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, side // 2
        scale = (2.0 / (before * side**2)) ** 0.5  # Kaiming, also for the bases: conditioning is on from the start
        self.weight = nn.Parameter(scale * torch.randn(after, before, side, side))
        self.bases = nn.Parameter(scale * torch.randn(bases, after, before, side, side)) if bases else None

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        """x (G n, C, h, w), mix (G, R)."""
        if mix is None or self.bases is None:
            return conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        count = len(mix)
        side_by_side = x.view(count, -1, *x.shape[1:]).transpose(0, 1).flatten(1, 2)  # (n, G C, h, w)
        kernels = self.kernels(mix).flatten(0, 1)
        y = conv2d(side_by_side, kernels, stride=self.stride, padding=self.padding, groups=count)
        return y.view(len(y), count, -1, *y.shape[-2:]).transpose(0, 1).flatten(0, 1)

    def kernels(self, mix: Tensor | None) -> Tensor:
        """(G, after, before, side, side) of the mixtures (G, R)."""
        if mix is None or self.bases is None:
            return self.weight[None]
        return self.weight + torch.einsum("gr,roihw->goihw", mix, self.bases)

    def baked(self, mix: Tensor | None) -> nn.Conv2d:
        """With the mixture (1, R) as an ordinary kernel."""
        after, before, side, _ = self.weight.shape
        plain = nn.Conv2d(before, after, side, self.stride, self.padding, bias=False)
        plain.load_state_dict({"weight": self.kernels(mix)[0]})
        return plain


def _bound(layer: Callable[[Tensor, Tensor | None], Tensor], moves: Tensor | None) -> Layer:
    return lambda x: layer(x, moves)

"""Feature extractors f(x; i) that an invariance descriptor conditions; two ways, one interface.

A descriptor-free stem does most of the work once per image; the conditioned tail turns its response into unit-length
features for any descriptor. So one descriptor after another costs the tail alone. No layer couples the images of a
batch, and there is no dropout: training and evaluation are the same function.

Axes: G groups of images that share a descriptor, n images of a group, K factors, D features.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from tracking.errors import UserError
from trainables.modules.backbones import backbone
from trainables.modules.conditioned_tail import CELLS, GROUPS, Begin, ConditionedTail, Conditioning, pool

__all__ = ["GROUPS", "Begin", "ConditionedExtractor", "Conditioning", "ExtractorConfig"]

RGB = 3
CHROMA = 4.0  # by how much differences between channels are stretched


class ExtractorConfig(BaseModel):
    """The shape of a conditioned extractor.

    Args:
        channels: of the images.
        factors: K, the length of a descriptor.
        width: channels after the first layer; twice as many in the second block, four times as many in the last.
        features: D.
        begin: from where on the descriptor conditions.
        bases: R of `kernels`; 0 means K + 1.
        network: another trunk than ours, see `backbones`; needs `begin: pooled` and `size`.
        size: (H, W) of the images; only another trunk needs it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(ge=1)
    factors: int = Field(ge=1)
    width: int = Field(default=16, ge=GROUPS, multiple_of=GROUPS)
    features: int = Field(default=128, ge=GROUPS, multiple_of=GROUPS)
    conditioning: Conditioning = Conditioning.FILM
    begin: Begin = Begin.POOLED
    bases: int = Field(default=0, ge=0)
    network: str | None = None
    size: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.network is not None and (self.begin is not Begin.POOLED or self.size is None):
            raise UserError("another trunk is conditioned after it, and must know the size of its images",
                            f"begin={self.begin}, size={self.size}", "set begin: pooled")
        return self


class ConditionedExtractor(nn.Module):
    """f(x; i): a residual stem, then a tail that the descriptor conditions.

    GroupNorm instead of BatchNorm: no statistics that mix descriptors or change in evaluation. The residual stream
    itself is not normalised, so that brightness and contrast remain visible where the descriptor asks for them.

    Args:
        config: shape and conditioning.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        width, late = config.width, config.begin is Begin.POOLED
        self.config = config
        if config.network is not None and config.size is not None:
            self.stem = backbone(config.network, (config.channels, *config.size), CELLS * 4 * width)
        else:
            last = (ResidualBlock(2 * width, 4 * width, 2), Pool()) if late else ()
            colours = (Chroma(),) if config.channels == RGB else ()
            self.stem = nn.Sequential(
                *colours, nn.Conv2d(config.channels, width, 3, 2, 1), nn.SiLU(), ResidualBlock(width, width, 1),
                ResidualBlock(width, 2 * width, 2), *last,
            )
        before = 4 * width if late else 2 * width
        bases = config.bases or config.factors + 1
        self.tail = ConditionedTail(config.begin, config.conditioning, before, config.features, config.factors, bases)

    def forward(self, x: Tensor, descriptor: Tensor) -> Tensor:
        """x (B, C, H, W), descriptor (K,) or one per image (B, K) -> (B, D) of length 1."""
        response = self.stem(x)
        if descriptor.ndim == 1:
            return self.tail(response[None], descriptor[None])[0]  # type: ignore[no-any-return]
        return self.tail(response[:, None], descriptor)[:, 0]  # type: ignore[no-any-return]

    def groups(self, x: Tensor, descriptors: Tensor) -> Tensor:
        """x (G, n, C, H, W), descriptors (G, K) -> (G, n, D)."""
        response = self.stem(x.flatten(0, 1))
        return self.tail(response.view(*x.shape[:2], *response.shape[1:]), descriptors)  # type: ignore[no-any-return]


class Chroma(nn.Module):
    """x -> m + 4 (x - m), m the mean over channels: colours vary about as much as brightness does.

    In photographs they vary by a third of it (CIFAR-10: .07 and .24). A network that begins all but blind to colours
    may stay so: where they do not move the features, the slope of the losses that ask for it is zero.
    """

    def forward(self, x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        return grey + CHROMA * (x - grey)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 shortcut where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(GROUPS, before), nn.SiLU(), nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.GroupNorm(GROUPS, after), nn.SiLU(), nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)  # type: ignore[no-any-return]


class Pool(nn.Module):
    """(B, C, H, W) -> (B, 4 C)."""

    def forward(self, x: Tensor) -> Tensor:
        return pool(x)

"""Content and style of an image, and back: encoders, AdaIN decoder, patch discriminator.

The parts of MUNIT (Huang et al. 2018) at a size that trains in minutes on two cores; written from the description.

Axes: B images, C channels, H height, W width, K content channels, D style dimensions.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 4       # pixels per position of the content, per side
EPSILON = 1e-5   # of instance normalisation
SLOPE = 0.2      # of the leaky ReLU


class StyleNetworkConfig(BaseModel):
    """Sizes of the networks.

    Args:
        width: channels of the first layers; deeper ones have twice as many.
        content_channels: K.
        style_dimensions: D.
        hidden: of the perceptron that makes the AdaIN parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=16, ge=4)
    content_channels: int = Field(default=16, ge=1)
    style_dimensions: int = Field(default=4, ge=1)
    hidden: int = Field(default=64, ge=1)


class ContentEncoder(nn.Module):
    """(B, C, H, W) -> (B, K, H/4, W/4), every channel with mean 0 and variance 1 over its positions.

    Instance normalisation takes away what one gain and one offset of an image do: a style cannot hide there.
    """

    def __init__(self, channels: int, config: StyleNetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.stages = nn.ModuleList((
            _down(channels, width), _down(width, 2 * width),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, config.content_channels, 3, padding=1),
        ))

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.stages) - 1
        for index, stage in enumerate(self.stages):
            x = instance_norm(stage(x))
            x = x if index == last else functional.relu(x)
        return x


class StyleEncoder(nn.Module):
    """(B, C, H, W) -> (B, D): no normalisation, which would remove the style; a global average, so no place is told."""

    def __init__(self, channels: int, config: StyleNetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.stages = nn.Sequential(
            _down(channels, width), nn.ReLU(), _down(width, 2 * width), nn.ReLU(),
            _down(2 * width, 2 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(2 * width, config.style_dimensions),
        )

    def forward(self, x: Tensor) -> Tensor:
        style: Tensor = self.stages(x)
        return style


class Decoder(nn.Module):
    """Content (B, K, h, w) and style (B, D) -> (B, C, 4 h, 4 w) in [-1, 1].

    One residual block, then two doublings, with the style's mean and scale (AdaIN, Huang and Belongie 2017) after every
    convolution but the last. MUNIT has layer normalisation in its doublings: AdaIN there too lets a style act at the
    scale of single pixels, as erosion does.
    """

    def __init__(self, channels: int, config: StyleNetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.widths = (2 * width, 2 * width, 2 * width, 2 * width, width)
        inputs = (config.content_channels, *self.widths[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in zip(inputs, self.widths, strict=True)
        )
        self.last = nn.Conv2d(width, channels, 5, padding=2)
        self.style = nn.Sequential(
            nn.Linear(config.style_dimensions, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.hidden),
            nn.ReLU(), nn.Linear(config.hidden, 2 * sum(self.widths)),
        )

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        parameters = self.style(style).split([2 * width for width in self.widths], dim=1)
        x = self._stage(0, content, parameters)
        x = x + self._stage(2, self._stage(1, x, parameters), parameters)
        for index in (3, 4):
            x = self._stage(index, functional.interpolate(x, scale_factor=2.0), parameters)
        return torch.tanh(self.last(x))

    def _stage(self, index: int, x: Tensor, parameters: tuple[Tensor, ...]) -> Tensor:
        offset, gain = parameters[index].chunk(2, dim=1)
        return functional.relu(adain(self.convolutions[index](x), offset, 1 + gain))


class Discriminator(nn.Module):
    """(B, C, H, W) -> (B, 1, H/4, W/4): one value per patch of 18 pixels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _down(channels, width), nn.LeakyReLU(SLOPE), _down(width, 2 * width), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.stages(padded(x))
        return values


class StyleNetwork(nn.Module):
    """Both encoders and the decoder.

    Args:
        channels: of the images, 1 or 3.
    """

    def __init__(self, channels: int, config: StyleNetworkConfig) -> None:
        super().__init__()
        self.content_encoder = ContentEncoder(channels, config)
        self.style_encoder = StyleEncoder(channels, config)
        self.decoder = Decoder(channels, config)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Content (B, K, ceil(H / 4), ceil(W / 4)) and style (B, D) of images (B, C, H, W) in [-1, 1]."""
        return self.content(x), self.style_encoder(padded(x))

    def content(self, x: Tensor) -> Tensor:
        content: Tensor = self.content_encoder(padded(x))
        return content

    def decode(self, content: Tensor, style: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (B, C, *size) in [-1, 1], size at most 4 times the content's."""
        made: Tensor = self.decoder(content, style)
        return made[..., : size[0], : size[1]]


def instance_norm(x: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) over the positions of each channel of each image."""
    return functional.instance_norm(x, eps=EPSILON)


def adain(x: Tensor, offset: Tensor, gain: Tensor) -> Tensor:
    """gain * instance_norm(x) + offset, for x (B, K, h, w) and both (B, K)."""
    return torch.addcmul(offset[:, :, None, None], gain[:, :, None, None], instance_norm(x))


def padded(x: Tensor) -> Tensor:
    """Copies of the last row and column, up to sides that the stride divides."""
    down, right = -x.shape[-2] % STRIDE, -x.shape[-1] % STRIDE
    return functional.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def _down(channels: int, outputs: int) -> nn.Conv2d:
    """Half as many rows and columns."""
    return nn.Conv2d(channels, outputs, 4, stride=2, padding=1)

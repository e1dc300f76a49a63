"""Several views of each image whose parameters a descriptor ties together.

Axes: G groups that share a descriptor, n images of a group, V views, K factors, P parameters.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from spaces.descriptors import Family, share_parameters

# Standard deviation of the pixel noise that every view carries: without any change at all, off for everything would be
# a trivial pair. A shift by a pixel as well would teach invariance to a third of the translations' range on 16 pixels.
NOISE = 0.05
CORNER, CUBE = 0.4, 0.7  # cumulative: corners, then the uniform cube, then all on, all off, one on, all but one


class Pairing(StrEnum):
    """What an entry that is off means for a pair of views."""

    SHARE = "share"  # both views get the same parameter: it tells images apart (as in LooC, Xiao et al. 2021)
    OMIT = "omit"    # neither view is transformed (the papers)


class Views(NamedTuple):
    """Parameters of three views and what sets the third apart.

    Args:
        theta: (3, G, n, P). The first and second are a pair under the descriptor; the third is the first with ONE
            factor of the group drawn afresh.
        factor: (G,), which.
        change: (G, n) mean |theta3 - theta1| over the parameters of that factor, as far as can be seen, in [0, 2].
    """

    theta: Tensor
    factor: Tensor
    change: Tensor

    def of(self, groups: slice) -> Views:
        """Of these groups alone."""
        return Views(self.theta[:, groups], self.factor[groups], self.change[groups])

    def to(self, device: torch.device) -> Views:
        """Drawn on the CPU, used elsewhere."""
        return Views(*(part.to(device, non_blocking=True) for part in self))


def draw_views(
    family: Family, descriptors: Tensor, images: int, pairing: Pairing, emphasis: Tensor, generator: Generator
) -> Views:
    """Parameters of the views of every group.

    Args:
        descriptors: (G, K).
        images: n.
        emphasis: (K,) how often each factor is the one that sets a group's third views apart, up to scale.
    """
    groups = len(descriptors)
    count, share = groups * images, family.spread(descriptors).repeat_interleave(images, 0)
    first, fresh, other = (family.draw(count, generator) for _ in range(3))
    factor = torch.multinomial(emphasis, groups, replacement=True, generator=generator)
    owned = (torch.tensor(family.owners) == factor[:, None]).float().repeat_interleave(images, 0)  # (G n, P)
    if pairing is Pairing.OMIT:
        first = share * first
        second = share * fresh
    else:
        second = share_parameters(first, fresh, share)
    third = first + owned * (other - first)
    change = ((family.effective(third) - family.effective(first)).abs() * owned).sum(-1) / owned.sum(-1)
    theta = torch.stack((first, second, third)).view(3, groups, images, -1)
    return Views(theta, factor, change.view(groups, images))


def pixel_noise(views: int, x: Tensor, generator: Generator) -> Tensor:
    """For `views` views of images (G, n, *shape): (views, G, n, *shape), drawn on the CPU."""
    return NOISE * torch.randn((views, *x.shape), generator=generator)


def render(family: Family, x: Tensor, theta: Tensor, noise: Tensor) -> Tensor:
    """x (G, n, C, H, W), theta (V, G, n, P), noise (V, G, n, C, H, W) -> (G, V n, C, H, W)."""
    views, groups, images = theta.shape[:3]
    every = x.expand(views, *x.shape).flatten(0, 2)
    seen = family.apply(every, theta.flatten(0, 2))
    seen = seen + noise.flatten(0, 2).to(seen)
    return seen.view(views, groups, images, *seen.shape[1:]).transpose(0, 1).flatten(1, 2)


def draw_descriptors(count: int, factors: int, all_on: float, generator: Generator) -> Tensor:
    """(count, K): corners, the whole cube, and the descriptors that are asked for most: all, none, one, all but one.

    Args:
        all_on: share that is replaced by all on, which every search begins with.
    """
    which = torch.rand(count, 1, generator=generator)
    corner = (torch.rand(count, factors, generator=generator) < 0.5).float()
    cube = torch.rand(count, factors, generator=generator)
    single = one_hot(torch.randint(factors, (count,), generator=generator), factors).float()
    kind = torch.randint(4, (count, 1), generator=generator)
    special = torch.where(kind < 2, kind.float(), (single - (kind == 3).float()).abs())
    drawn = torch.where(which < CORNER, corner, torch.where(which < CUBE, cube, special))
    if all_on == 0:
        return drawn
    return torch.where(torch.rand(count, 1, generator=generator) < all_on, 1.0, drawn)


def draw_looks(
    count: int, factor: Tensor, factors: int, generator: Generator, paired: bool = False
) -> Tensor:
    """(count, G, K): descriptors under which a group's first and third views are compared once more.

    The entry of the group's factor (G,) is 0, 1 or anything; the others are all on, all off, a corner or anything: so
    that an entry is taught to do the same whatever the others are.

    Args:
        count: even where they are paired.
        paired: the second half has the groups' own entries of the first.
    """
    groups = len(factor)
    kind = torch.randint(4, (count, groups, 1), generator=generator)
    drawn = torch.rand(count, groups, factors, generator=generator)
    rest = torch.where(kind == 3, drawn, torch.where(kind == 2, drawn.round(), kind.float()))
    times = 2 if paired else 1
    own = torch.rand(count // times, groups, 1, generator=generator) * 2 - 0.5  # a quarter below 0, a quarter above 1
    own = own.repeat(times, 1, 1)
    return torch.where(one_hot(factor, factors).bool(), own.clamp(0, 1), rest)

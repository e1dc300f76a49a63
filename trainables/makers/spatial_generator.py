"""Learns by which warps an image of the pool may have come about, without labels, and draws others.

    L = - log q_k(d | T_k(d) x),   k ~ U{1..Q},  d ~ U(-cap_k, cap_k)

q_k is a distribution over bins of d. By Bayes' rule q_k(d | x) of an image that was not moved says how probable it
is that x is another image of the pool, T_k(-d) x, moved by d: undoing a draw of d gives another image of x's orbit, as
often as the pool has it. That is done for each warp in turn, a Gibbs step, which with the true q_k would leave the
distribution of the images as it is: any turn where they vary over the whole group, a part of it where they vary over
that part, none where all are upright. A network is less sure, and draws spread: so they are made from the most
probable bins alone (`nucleus`). Every image is resampled by half a pixel and a few degrees before it is shown, and
shown with noise, or its pixels would tell whether it was moved.

Image-to-image networks are local and fail at global moves; here the moves are given. No adversary takes part. A
strength that does not go round must be tried to twice the range that the pool varies by (`spatial.CAPS`). What comes
into view is as the border of the image: on an even ground that is nothing; in photographs it can be seen, and ranges
come out too narrow.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from tracking.errors import UserError
from trainables.maker import Maker, MakerConfig, MakerContext, Pool
from trainables.makers.style_generator import check_images
from trainables.modules.generators.spatial_training import SpatialTraining


class Config(MakerConfig):
    """What is trained, and how long; five warps, see `spatial.CAPS`.

    Args:
        batch_size: B.
        learning_rate: peak of Adam's, which falls along a cosine.
        width: channels of the first layer, a multiple of 4.
        hidden: of the layer that sees the whole image.
        bins: N, of each strength; odd, so that one of them is about 0.
        nucleus: share of the probability that draws are made from; 1 is all of it.
    """

    version: ClassVar[int] = 7

    horizon: int = Field(default=3000, ge=1)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    width: int = Field(default=24, ge=4, multiple_of=4)
    hidden: int = Field(default=128, ge=1)
    bins: int = Field(default=73, ge=3)
    nucleus: float = Field(default=0.9, gt=0, le=1)

    @field_validator("bins")
    @classmethod
    def _one_bin_is_about_nothing(cls, bins: int) -> int:
        if bins % 2 == 0:
            raise UserError("`bins` must be odd: images that were not moved are in the middle of one", bins)
        return bins

    def check(self, pool: Pool) -> None:
        """Raises UserError as `check_images`."""
        check_images(pool, "a spatial generator")

    def build(self, context: MakerContext) -> Maker:
        """Raises UserError as `check`."""
        self.check(context.problem)
        return SpatialTraining(context, self)

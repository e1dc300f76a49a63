"""Learns which warps go unnoticed: half-widths w of uniform strengths, without labels.

    L_w = E (D(T_{u w}(x)) - 1)^2 - r sum_q w_q / cap_q,   u ~ U(-1, 1)^Q
    L_D = E (D(x) - 1)^2 + E D(T_{u w}(x))^2

Image-to-image networks are local and fail at global moves; here the moves are given, and their ranges are learned.
Images vary already, so w = 0 satisfies any adversary: the reward r asks for the widest ranges that D cannot tell. Where
the data vary over a whole group (any turn) that is the group; where they vary over a part of it, wider images are told
apart, and w stays below the data's own range (a second turn by up to w widens turns of up to a to a + w).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from trainables.maker import Maker, MakerConfig, MakerContext, Pool
from trainables.makers.style_generator import check_images
from trainables.modules.generators.spatial_training import SpatialTraining


class Config(MakerConfig):
    """What is trained, and how long; five warps, see `spatial.CAPS`.

    Args:
        batch_size: B.
        width_reward: r.
        start: of all half-widths, as a share of their caps.
        learning_rate: of the shares, by Adam.
        discriminator_rate: of D, by Adam.
        discriminator_width: channels of D's first layer.
        weight_decay: of D, as an L2 penalty.
    """

    version: ClassVar[int] = 4

    horizon: int = Field(default=1500, ge=1)
    batch_size: int = Field(default=64, ge=2)
    width_reward: float = Field(default=0.1, ge=0)
    start: float = Field(default=0.1, ge=0, le=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    discriminator_rate: float = Field(default=1e-3, gt=0)
    discriminator_width: int = Field(default=16, ge=4)
    weight_decay: float = Field(default=0.0, ge=0)

    def check(self, pool: Pool) -> None:
        """Raises UserError as `check_images`."""
        check_images(pool, "a spatial generator")

    def build(self, context: MakerContext) -> Maker:
        """Raises UserError as `check`."""
        self.check(context.problem)
        return SpatialTraining(context, self)

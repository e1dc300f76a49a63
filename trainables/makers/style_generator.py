"""Learns how images of all classes vary, as contents and styles; without labels.

With c = E_c(x), s_x = E_s(x), and s_1, s_2 ~ N(0, I):
    L_G = (D(x_k) - 1)^2 + a |G(c, s_x) - x| + b |E_s(x_k) - s_k| + g |E_c(x_k) - c| + w |s_1 - s_2| / (|x_1 - x_2| + e)
    L_D = D(x_k)^2 + (D(x) - 1)^2,    x_k = G(c, s_k), k = 1, 2

MUNIT (Huang et al. 2018) within one domain, as GIT (Zhou et al. 2022) uses it, with its two domains tied: the published
training crosses two copies of one data set, x_k = G_a(E_b(x_b), s_k), so that what is later sampled, a content of a in
G_a, is never trained against D. Here it is exactly that which is trained, at half the cost. The last term of L_G is not
GIT's: without it the identity map is optimal (see `diversity_loss`).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tracking.errors import UserError
from trainables.maker import Maker, MakerConfig, MakerContext, Pool
from trainables.modules.generators.style_network import StyleNetworkConfig
from trainables.modules.generators.style_training import StyleTraining


def check_images(pool: Pool, what: str) -> None:
    """Raises UserError where the inputs are not images of one or three channels, from 8 x 8 on."""
    shape = pool.shape
    if len(shape) != 3 or min(shape[1:]) < 8 or shape[0] not in (1, 3):
        raise UserError(f"{what} needs images (C, H, W) with one or three channels, from 8 x 8 on", shape,
                        "name a source of images")


class Config(MakerConfig):
    """What is trained, and how long.

    Args:
        network: sizes of encoders and decoder.
        discriminator_width: channels of its first layer.
        batch_size: B; GIT has 1.
        reconstruction, style, content: a, b and g (GIT: 10, 1, 1).
        diversity: w; a larger one moves the draws further apart, and labels with them.
        learning_rate: of Adam on both sides, by a cosine to a twentieth.
        weight_decay: as an L2 penalty, on both sides.
    """

    version: ClassVar[int] = 3

    horizon: int = Field(default=2000, ge=1)
    network: StyleNetworkConfig = StyleNetworkConfig()
    discriminator_width: int = Field(default=32, ge=4)
    batch_size: int = Field(default=16, ge=2)
    reconstruction: float = Field(default=10.0, ge=0)
    style: float = Field(default=1.0, ge=0)
    content: float = Field(default=1.0, ge=0)
    diversity: float = Field(default=0.003, ge=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)

    def check(self, pool: Pool) -> None:
        """Raises UserError as `check_images`."""
        check_images(pool, "a style generator")

    def build(self, context: MakerContext) -> Maker:
        """Raises UserError as `check`."""
        self.check(context.problem)
        return StyleTraining(context, self)

"""Meta-learned symmetries: which weights of a layer are shared is learned from many tasks (Zhou et al. 2021)."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from pydantic import Field
from torch import Generator, nn

from spaces.domain import Space
from tracking.errors import UserError
from trainables.method import Context, NetworkBuilder, Role
from trainables.modules.meta_recipe import META_DOMAINS, Architecture, MetaConfig, kernels
from trainables.modules.meta_training import MetaTraining
from trainables.modules.sharing import DEVIATION
from trainables.modules.sharing_network import Pattern, shared
from trainables.problems.problem import View


class Config(MetaConfig):
    """vec(W) = U v in every layer: tasks adapt v, the outer loop learns U, v's start and the inner rates.

    Deviations from the published code: several inner steps, inner rates as exponentials within a bound, a decaying
    outer rate, the mean over tasks instead of the sum. `rate_form: linear`, `inner_rate: 0.1`, `inner_steps: 1`,
    `decay: false`, `outer_learning_rate: 1e-3` are the published settings.

    Args:
        pattern: FULL for small layers (U has latent times as many entries as W), KRONECKER for networks; GAIN and
            DIAGONAL are controls that share nothing and have the learned step sizes alone.
        latent: k of FULL, twice what is expected: too small fails, too large shows in the spectrum; bounded by each
            layer's size.
        deviation: of FULL's entries at the start.
    """

    space: ClassVar[Space] = Space(META_DOMAINS)

    pattern: Pattern = Pattern.KRONECKER
    latent: int = Field(default=6, ge=1)
    deviation: float = Field(default=DEVIATION, gt=0)

    def fitting(self, network: nn.Module) -> None:
        shared(network, self.pattern, self.latent, self.deviation, Generator().manual_seed(0))

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        super().fits(problem, network)
        if self.architecture is Architecture.NETWORK:
            return
        flat = len(problem.shape) == 1
        if self.architecture is Architecture.LOCAL or (self.architecture is Architecture.CONVOLUTION and flat):
            raise UserError("patterns are for dense layers and kernels", self.architecture, "architecture: dense")
        dense = self.architecture is Architecture.DENSE
        size = problem.outputs * prod(problem.shape) if dense else prod(kernels(problem.shape, problem.outputs))
        if self.pattern is Pattern.FULL and self.latent > size:
            raise UserError(f"`latent` must lie in 1 to {size}, the layer's number of weights", self.latent)

    def build(self, context: Context) -> MetaTraining:
        """Raises UserError where the problem is not made of tasks, or `latent` exceeds a single layer's size."""
        network = self.adapting(context)
        generator = context.generator(Role.INIT, 1)
        return MetaTraining(context, self, shared(network, self.pattern, self.latent, self.deviation, generator))

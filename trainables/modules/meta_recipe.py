"""Settings that all meta-learners share: same fields, same domains, so none is tuned harder."""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import ClassVar, cast

from pydantic import Field
from torch import Tensor, nn

from spaces.domain import Domain, Float
from tracking.errors import UserError
from trainables.method import Context, MethodConfig, NetworkBuilder, Role, drawn
from trainables.modules.sharing import Conv1d, LocallyConnected1d, SharedConv2d, SharedLinear, Sharing
from trainables.problems.problem import Kind, View
from trainables.problems.tasks import EpisodicView

META_DOMAINS: dict[str, Domain] = {
    "outer_learning_rate": Float(low=3e-4, high=1e-2, log=True),
    # Four decades, for every method: a published gap of a factor 100 was this setting alone (docs/symmetries.md).
    "inner_rate": Float(low=1e-2, high=1e2, log=True),
}
KERNEL = 3  # taps of a layer problem's filters


class RateForm(StrEnum):
    """How an inner rate is a parameter of the outer loop."""

    LOG = "log"        # exp of a parameter: moves by a factor, stays positive
    LINEAR = "linear"  # itself, as published: with Adam it moves by its learning rate per update, whatever its size


class Architecture(StrEnum):
    """What adapts."""

    NETWORK = "network"          # the comparison's own
    DENSE = "dense"              # one linear layer: layer problems
    LOCAL = "local"              # one, a filter for each position
    CONVOLUTION = "convolution"  # one, the same filter everywhere


class MetaConfig(MethodConfig):
    """Adam on the mean query loss of a batch of tasks, each adapted by a few steps of SGD on its support set.

    Args:
        outer_learning_rate: Adam's, of initial weights, patterns and inner rates; cosine decay to zero with `decay`.
        inner_rate: where the inner rates start, at most `most_rate`; one for each weight tensor, learned.
        rate_form: published: LINEAR with 0.1.
        inner_steps: of SGD on a task; one cannot invert the Gram matrix of a support set, three nearly do.
        task_batch: tasks per update.
        first_order: take inner gradients for constants.
        decay: of the outer learning rate; the published runs have none.
        most_rate: bound of an inner rate; one that reaches it is told.
        architecture: one of the single layers is for layer problems only.
    """

    adapts: ClassVar[bool] = True

    outer_learning_rate: float = Field(default=3e-3, gt=0)
    inner_rate: float = Field(default=1.0, gt=0)
    rate_form: RateForm = RateForm.LOG
    inner_steps: int = Field(default=3, ge=1)
    task_batch: int = Field(default=32, ge=1)
    first_order: bool = False
    decay: bool = True
    most_rate: float = Field(default=1e4, gt=0)
    architecture: Architecture = Architecture.NETWORK

    def view(self, context: Context) -> EpisodicView:
        """The problem, which fits."""
        self.fits(context.problem, context.network)
        return cast(EpisodicView, context.problem)

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where the problem is not made of tasks, or the architecture or network does not fit it."""
        if problem.kind is not Kind.EPISODIC:
            raise UserError(
                "a meta-learner needs a problem made of tasks", f"a {problem.kind} problem",
                "use the source `layers`, or wrap images with `episodes`",
            )
        if self.architecture is Architecture.NETWORK:
            self.fitting(drawn(lambda: network(problem.shape, problem.outputs), seed=0))
        elif problem.transform_bank:
            raise UserError(
                f"the architecture `{self.architecture}` is a single linear layer, for layer problems", problem.shape,
                "set `architecture: network` for images",
            )
        if self.architecture is Architecture.LOCAL and len(problem.shape) == 3:
            raise UserError("locally connected layers are one-dimensional", problem.shape, "dense or convolution")
        if self.architecture in (Architecture.LOCAL, Architecture.CONVOLUTION):
            positions = prod(side - KERNEL + 1 for side in problem.shape[-2:])
            whole = problem.outputs % positions == 0 if len(problem.shape) == 3 else problem.outputs == positions
            if not whole:
                raise UserError(
                    f"a filter of {KERNEL} taps gives {positions} outputs (a channel)", problem.outputs,
                    "architecture: dense",
                )

    def fitting(self, network: nn.Module) -> None:
        """Raises UserError where this method cannot adapt the comparison's network; changes it or not."""

    def adapting(self, context: Context) -> nn.Module:
        """The plain network of this architecture, with its starting weights."""
        problem, generator = self.view(context), context.generator(Role.INIT)
        if self.architecture is Architecture.NETWORK:
            return context.build_network()
        shape, outputs = problem.shape, problem.outputs
        layer: nn.Module
        if self.architecture is Architecture.DENSE:
            layer = SharedLinear(Sharing((outputs, prod(shape))), False, generator)
        elif len(shape) == 3:
            layer = SharedConv2d(Sharing(kernels(shape, outputs)), False, generator)
        elif self.architecture is Architecture.LOCAL:
            layer = LocallyConnected1d(shape[0], KERNEL, generator)
        else:
            layer = Conv1d(KERNEL, generator)
        return Flat(layer, dense=self.architecture is Architecture.DENSE).to(context.device)


class Flat(nn.Module):
    """A layer with flat outputs and, where it is dense, flat inputs."""

    def __init__(self, layer: nn.Module, dense: bool) -> None:
        super().__init__()
        self.layer, self._dense = layer, dense

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1) if self._dense else x).flatten(1)  # type: ignore[no-any-return]


def kernels(shape: tuple[int, ...], outputs: int) -> tuple[int, int, int, int]:
    """(c_out, c_in, 3, 3) of a layer that gives so many outputs on a (C, H, W) input without padding."""
    positions = (shape[1] - KERNEL + 1) * (shape[2] - KERNEL + 1)
    return outputs // positions, shape[0], KERNEL, KERNEL

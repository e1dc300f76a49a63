"""The loop that learns, for every image, by how much it may have been warped.

The formulas are at `trainables.makers.spatial_generator`, which describes it to users.

Axes: B images, Q warps, N bins of a strength.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from tracking.cost import Phase
from trainables.maker import MakerContext
from trainables.method import Role, Slice, State
from trainables.modules.generators.kind import GeneratorKind
from trainables.modules.generators.losses import l1
from trainables.modules.generators.measures import Measures, told
from trainables.modules.generators.optimiser import cosine, descend, prepared_adam
from trainables.modules.generators.spatial import (
    CAPS,
    Draw,
    Redraws,
    WarpNetwork,
    alone,
    frames,
    jittered,
    seen,
    shown,
)
from trainables.modules.state import (
    generators_state,
    load_generators,
    load_optimiser,
    module_state,
    optimiser_state,
    require_cursor,
    require_like,
)
from trainables.modules.supervised import mean_metrics

if TYPE_CHECKING:
    from trainables.makers.spatial_generator import Config

MEASURED = 256


class Moved(NamedTuple):
    """Images that were warped by one strength each, and which.

    Args:
        x: (B, C, H, W).
        place: (B,) of the warp, in [0, Q).
        bin: (B,) of its strength, in [0, N).
    """

    x: Tensor
    place: Tensor
    bin: Tensor


def moved(x: Tensor, jitter: Tensor, place: Tensor, share: Tensor, bins: int) -> Moved:
    """Each image under a jitter (B, Q), and warped by `share` (B,) in [-1, 1) of the cap of warp `place` (B,)."""
    size = (x.shape[-2], x.shape[-1])
    frame = frames(jittered(jitter, *size), *size) @ frames(alone(share, place), *size)
    return Moved(seen(x, frame), place, ((share + 1) / 2 * bins).long().clamp(0, bins - 1))


class SpatialTraining:
    """Keeps the contract of `Maker`."""

    def __init__(self, context: MakerContext, config: Config) -> None:
        self._context, self._config = context, config
        shape = context.problem.shape
        made = context.build_network(lambda: WarpNetwork(shape, config.width, config.hidden, config.bins))
        assert isinstance(made, WarpNetwork)
        self._network = made
        self._optimiser = prepared_adam(self._network.parameters())
        self._order, self._noise = context.generator(Role.ORDER), context.generator(Role.AUGMENT)
        self._cursor = 0
        self._measures: Measures | None = None

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        losses = [self._update() for _ in range(updates)]
        found = mean_metrics({"pretrain/loss": losses})
        return Slice(found, Phase.PRETRAIN, ready=False, done=self._cursor == self._context.horizon)

    def state_dict(self) -> State:
        return {
            "network": module_state(self._network), "optimiser": optimiser_state(self._optimiser),
            "generators": generators_state((self._order, self._noise)), "cursor": self._cursor,
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._context.horizon)
        self._network.load_state_dict(state["network"])
        load_optimiser(self._optimiser, state["optimiser"])
        load_generators((self._order, self._noise), state["generators"])
        self._cursor = state["cursor"]

    def result(self) -> State:
        """The network, the half-widths of its draws, and what draws do to images of the pool."""
        context, config = self._context, self._config
        x = context.problem.balanced(context.generator(Role.ORDER, 1), MEASURED).to(context.device)
        with context.meter.unit("measure", x.shape, phase=Phase.PRETRAIN):
            self._measures, widths = self._measured(x)
        return {
            "kind": GeneratorKind.SPATIAL.value, "shape": list(context.problem.shape), "widths": widths,
            "sizes": {"width": config.width, "hidden": config.hidden, "bins": config.bins},
            "nucleus": config.nucleus, "weights": module_state(self._network), "measures": self._measures.state(),
        }

    def warnings(self) -> Sequence[str]:
        return told(self._measures)

    def _update(self) -> Tensor:
        """The loss, 0-d."""
        context, config = self._context, self._config
        x = context.problem.balanced(self._order, config.batch_size).to(context.device)
        with context.meter.unit("update", x.shape, phase=Phase.PRETRAIN, examples=len(x)):
            draw = Draw.of(x, self._noise)
            place = torch.randint(len(CAPS), (len(x),), generator=self._noise, device=self._noise.device)
            loss = self._loss(x, draw, place.to(x.device))
            gradients = torch.autograd.grad(loss, list(self._network.parameters()))
            rate = config.learning_rate * cosine(self._cursor, context.horizon)
            descend(self._optimiser, gradients, rate)
        self._cursor += 1
        return loss.detach()

    def _loss(self, x: Tensor, draw: Draw, place: Tensor) -> Tensor:
        """Mean -log q of the bins that images (B, C, H, W) were moved by, each along the warp `place` (B,); 0-d."""
        case = moved(x, draw.jitter, place, 2 * draw.u[:, 0] - 1, self._config.bins)
        odds = self._network(shown(case.x, draw.noise))
        return cross_entropy(odds[torch.arange(len(x), device=x.device), case.place], case.bin)

    @torch.no_grad()
    def _informed(self, x: Tensor, generator: Generator) -> float:
        """See `Measures.informed`: every image is moved once along each warp."""
        places = torch.arange(len(CAPS), device=x.device)
        losses = [self._loss(x, Draw.of(x, generator), place.expand(len(x))) for place in places]
        return 1 - float(torch.stack(losses).mean()) / math.log(self._config.bins)

    def _measured(self, x: Tensor) -> tuple[Measures, dict[str, float]]:
        """What two draws do beyond what bins blur, and half-widths in the operations' units, means over images."""
        generator, config = self._context.generator(Role.AUGMENT, 1), self._config
        redraws = Redraws(self._network, config.nucleus)
        draws = [Draw.of(x, generator) for _ in range(4)]
        (first, widths), (second, _) = (redraws(x, draw) for draw in draws[:2])
        still, again = (_kept(x, draw, config.bins) for draw in draws[2:])
        caps = torch.tensor(list(CAPS.values()), device=x.device)
        found = dict(zip((operation.value for operation in CAPS), (widths.mean(0) * caps).tolist(), strict=True))
        distances = 2 * torch.stack((l1(first, second), l1(still, again), l1(x, x.roll(1, 0))))
        drawn, resolution, spread = distances.tolist()
        # Warps have nothing to reconstruct. The order of the maximum's arguments keeps what is not a number.
        beyond, informed = max(drawn - resolution, 0.0), self._informed(x, generator)
        return Measures(beyond, resolution, spread, 0.0, None, informed), found


def _kept(x: Tensor, draw: Draw, bins: int) -> Tensor:
    """What a draw makes that moves nothing: the jitter, and strengths in the bin about 0."""
    size = (x.shape[-2], x.shape[-1])
    within = (2 * draw.u - 1) / bins * torch.tensor(list(CAPS.values()), device=x.device)
    return seen(x, frames(jittered(draw.jitter, *size), *size) @ frames(within, *size))

"""The loop that learns the half-widths of warps: as wide as goes unnoticed.

The formulas are at `trainables.makers.spatial_generator`, which describes it to users.

Axes: B images, Q warps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tracking.cost import Phase
from trainables.maker import MakerContext
from trainables.method import Role, Slice, State
from trainables.modules.generators.kind import GeneratorKind
from trainables.modules.generators.losses import adversarial_loss, discriminator_loss, l1
from trainables.modules.generators.measures import Measures, told
from trainables.modules.generators.optimiser import descend, prepared_adam
from trainables.modules.generators.spatial import CAPS, Judge, moved, uniform
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
from trainables.modules.tail_average import TailAverage

if TYPE_CHECKING:
    from trainables.makers.spatial_generator import Config

# Both sides are resampled by strengths this wide, in shares of the caps: or the blur of a warp would give it away.
JITTER = (5 / 180, 0.07, 0.07, 0.04, 0.1)
AVERAGED = 1 / 3  # the last share of the updates, whose widths are averaged: single ones wander
MEASURED = 256
LOGGED = ("g_loss", "d_loss")


class SpatialTraining:
    """Keeps the contract of `Maker`."""

    def __init__(self, context: MakerContext, config: Config) -> None:
        self._context, self._config = context, config
        shape, device = context.problem.shape, context.device
        self._judge = context.build_network(lambda: Judge(shape, config.discriminator_width))
        self._shares = torch.nn.Parameter(torch.full((len(CAPS),), config.start, device=device))
        self._caps = torch.tensor(list(CAPS.values()), device=device)
        self._jitter = torch.tensor(JITTER, device=device)
        self._opponent = prepared_adam(self._judge.parameters(), config.weight_decay)
        self._optimiser = prepared_adam([self._shares])
        self._tail = TailAverage([self._shares])
        self._order, self._noise = context.generator(Role.ORDER), context.generator(Role.AUGMENT)
        self._cursor = 0
        self._measures: Measures | None = None

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        losses = [self._update() for _ in range(updates)]
        found = mean_metrics({f"pretrain/{name}": [loss[k] for loss in losses] for k, name in enumerate(LOGGED)})
        widths = {f"pretrain/{name}": width for name, width in self._widths().items()}
        return Slice({**found, **widths}, Phase.PRETRAIN, ready=False, done=self._cursor == self._context.horizon)

    def state_dict(self) -> State:
        return {
            "judge": module_state(self._judge), "shares": self._shares.detach().clone(),
            "optimiser": optimiser_state(self._optimiser), "opponent": optimiser_state(self._opponent),
            "tail": self._tail.state_dict(), "generators": generators_state((self._order, self._noise)),
            "cursor": self._cursor,
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._context.horizon)
        self._judge.load_state_dict(state["judge"])
        with torch.no_grad():
            self._shares.copy_(state["shares"])
        load_optimiser(self._optimiser, state["optimiser"])
        load_optimiser(self._opponent, state["opponent"])
        self._tail.load_state_dict(state["tail"])
        load_generators((self._order, self._noise), state["generators"])
        self._cursor = state["cursor"]

    def result(self) -> State:
        """Half-widths in the units of the operations, and what they do to images of the pool."""
        context = self._context
        x = context.problem.balanced(context.generator(Role.ORDER, 1), MEASURED).to(context.device)
        with torch.no_grad(), context.meter.unit("measure", x.shape, phase=Phase.PRETRAIN):
            self._measures = self._measured(x)
        return {
            "kind": GeneratorKind.SPATIAL.value, "shape": list(context.problem.shape), "widths": self._widths(),
            "measures": self._measures.state(),
        }

    def warnings(self) -> Sequence[str]:
        return told(self._measures)

    def _update(self) -> Tensor:
        """Losses of both sides (2,)."""
        context, config = self._context, self._config
        real, origin = (
            context.problem.balanced(self._order, config.batch_size).to(context.device) for _ in range(2)
        )
        with context.meter.unit("update", real.shape, phase=Phase.PRETRAIN, examples=2 * len(real)):
            real = moved(real, self._drawn(len(real)) * self._jitter * self._caps)
            strengths = self._drawn(len(origin)) * self._shares + self._drawn(len(origin)) * self._jitter
            made = moved(origin, strengths * self._caps)
            loss = adversarial_loss(self._judge(made)) - config.width_reward * self._shares.sum()
            descend(self._optimiser, torch.autograd.grad(loss, [self._shares]), config.learning_rate)
            with torch.no_grad():
                self._shares.clamp_(0, 1)
            opponent = discriminator_loss(self._judge(real), self._judge(made.detach()))
            gradients = torch.autograd.grad(opponent, list(self._judge.parameters()))
            descend(self._opponent, gradients, config.discriminator_rate)
        self._cursor += 1
        if self._cursor > (1 - AVERAGED) * context.horizon:
            self._tail.add()
        return torch.stack((loss.detach(), opponent.detach()))

    def _drawn(self, size: int) -> Tensor:
        return uniform(size, self._noise).to(self._context.device)

    def _widths(self) -> dict[str, float]:
        """Operation -> half-width, averaged as far as there is an average."""
        shares = self._tail.values()[0].detach().to(self._caps)
        return {operation.value: width for operation, width in zip(CAPS, (shares * self._caps).tolist(), strict=True)}

    def _measured(self, x: Tensor) -> Measures:
        generator = self._context.generator(Role.AUGMENT, 1)
        widths = torch.tensor(list(self._widths().values()), device=x.device)
        first, second = (moved(x, uniform(len(x), generator).to(x) * widths) for _ in range(2))
        # The discriminator is asked about what it was trained on: both sides moved by the jitter.
        jitter = [uniform(len(x), generator).to(x) * self._jitter * self._caps for _ in range(2)]
        made = moved(x, uniform(len(x), generator).to(x) * widths + jitter[0])
        loss = discriminator_loss(self._judge(moved(x, jitter[1])), self._judge(made))
        diversity, spread, last = torch.stack((2 * l1(first, second), 2 * l1(x, x.roll(1, 0)), loss)).tolist()
        return Measures(diversity, spread, spread, 0.0, last)

"""The outer loop that meta-learners share; a complete `Method` for a given network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tracking.cost import Phase
from trainables.method import Context, Role, Slice, State
from trainables.modules.group_sharing import numerical_rank
from trainables.modules.inner_loop import InnerLoop
from trainables.modules.meta_recipe import Architecture, MetaConfig, RateForm
from trainables.modules.sharing import FullSharing, SharedLayer, split_parameters
from trainables.modules.sharing_takeaway import export
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
from trainables.problems.problem import LEARNABLE, Batch, Split

EXPLOSION = 10.0      # times the loss of untouched weights
EXPORTED = 20         # tasks that equivariance is measured on
HALF = math.log(2.0)  # of a rate, as a step of its logarithm


class MetaTraining:
    """Learns initial weights, patterns and inner rates on batches of tasks from train + outer.

    Args:
        context: problem, horizon in outer updates, seeds, meter.
        config: the shared settings.
        network: what adapts; its `Sharing` modules do not.
        frozen: names of weights that tasks do not adapt either; they are learned by the outer loop alone.
    """

    def __init__(
        self, context: Context, config: MetaConfig, network: nn.Module, frozen: Sequence[str] = ()
    ) -> None:
        self._context, self._config = context, config
        self._problem = config.view(context)
        self.network = network.to(context.device)
        self.fast, self.slow = split_parameters(network)
        start = torch.tensor(min(config.inner_rate, config.most_rate), device=context.device)
        start = start.log() if config.rate_form is RateForm.LOG else start
        self.raw_rates = {name: nn.Parameter(start.clone()) for name in self.fast if name not in frozen}
        self._loop = InnerLoop(network, self._problem.loss, config.inner_steps, config.first_order)
        self._learned = (*self.fast.values(), *self.slow.values(), *self.raw_rates.values())
        self._optimiser = torch.optim.Adam(self._learned, lr=config.outer_learning_rate, foreach=True)
        for parameter in self._learned:  # what the first step would make
            self._optimiser.state[parameter] = {
                "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._order, self._cursor = context.generator(Role.ORDER), 0
        # Tensors, so that no update waits for the device: the untouched weights' loss, and how many updates exploded.
        self._untouched = torch.zeros((), device=context.device)
        self._explosions = torch.zeros((), device=context.device)

    @property
    def rates(self) -> dict[str, Tensor]:
        """Inner rate of each adapted tensor, 0-d, with a graph to what is learned."""
        log = self._config.rate_form is RateForm.LOG
        return {name: raw.exp() if log else raw for name, raw in self.raw_rates.items()}

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        losses = [self._update() for _ in range(updates)]
        metrics = {**mean_metrics({"train/query_loss": losses}), "train/explosions": float(self._explosions)}
        return Slice(metrics, Phase.TRAIN, ready=True, done=self._cursor >= self._context.horizon)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        """(T, Q, K) after adapting to supports (T, S, ...); without any, (B, K) of the weights tasks start from."""
        if support is None:
            with torch.no_grad():
                return functional_call(self.network, {**self.fast, **self.slow}, (x,))  # type: ignore[no-any-return]
        return self._loop.outputs(self.fast, self.slow, self.rates, support, x)

    def weights(self, support: Batch) -> Tensor | None:
        """W (T, *shape) of the first shared layer after adaptation; None where there is none.

        Args:
            support: x (T, S, *shape) and y of T tasks.
        """
        path, layer = next(
            ((path, m) for path, m in self.network.named_modules() if isinstance(m, SharedLayer)), (None, None)
        )
        if layer is None:
            return None
        filters = self._loop.weights(self.fast, self.slow, self.rates, support)[f"{path}.filter"]
        with torch.no_grad():
            return torch.stack([layer.sharing(v) for v in filters])

    def pattern(self) -> Tensor | None:
        """U (weights, k) of the first layer, where it is free."""
        free = (m for m in self.network.modules() if isinstance(m, FullSharing))
        return next((sharing.matrix().detach() for sharing in free), None)

    def describe(self) -> Mapping[str, float]:
        """Inner rates; of each free pattern its numerical rank (singular values above half of the largest).

        The other forms always have the rank of W.
        """
        values = torch.stack([*self.rates.values()]).tolist()
        found = {f"rate/{name}": value for name, value in zip(self.raw_rates, values, strict=True)}
        for name, module in self.network.named_modules():
            if isinstance(module, FullSharing):
                found[f"sharing/{name}/rank"] = float(numerical_rank(module.matrix().detach()))
        return found

    def warnings(self) -> Sequence[str]:
        """Of inner rates that stand at their bound, and of updates that were too large for the tasks."""
        most, exploded = self._config.most_rate, int(self._explosions)
        stuck = [name for name, rate in self.rates.items() if float(rate.detach()) >= most * (1 - 1e-6)]
        told = [f"the inner rate of {name} stands at its bound {most:g}: raise `most_rate`" for name in stuck]
        if exploded:
            told.append(
                f"in {exploded} of {self._cursor} updates adaptation made the loss {EXPLOSION:g} times that of "
                "untouched weights; inner rates were halved each time: start with a smaller `inner_rate`"
            )
        return told

    def export(self, folder: Path) -> Mapping[str, str]:
        """Patterns, rates and pictures of adapted weights, see `sharing_takeaway`; tasks are drawn from train."""
        generator = self._context.generator(Role.SEARCH)
        support, _ = self._problem.episodes(generator, EXPORTED, Split.TRAIN)
        support = Batch(support.x.to(self._context.device), support.y.to(self._context.device))
        single = self._config.architecture is not Architecture.NETWORK
        return export(self.network, self.rates, self.weights(support), single, folder)

    def state_dict(self) -> State:
        return {
            "network": module_state(self.network),
            "rates": {name: raw.detach().clone() for name, raw in self.raw_rates.items()},
            "optimiser": optimiser_state(self._optimiser),
            "generators": generators_state((self._order,)),
            "explosions": torch.stack([self._untouched, self._explosions]),
            "cursor": self._cursor,
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._context.horizon)
        self.network.load_state_dict(state["network"])
        with torch.no_grad():
            for name, raw in self.raw_rates.items():
                raw.copy_(state["rates"][name])
        load_optimiser(self._optimiser, state["optimiser"])
        load_generators((self._order,), state["generators"])
        self._untouched, self._explosions = state["explosions"].to(self._context.device).clone().unbind()
        self._cursor = state["cursor"]

    def _update(self) -> Tensor:
        context, config = self._context, self._config
        support, query = self._problem.episodes(self._order, config.task_batch, *LEARNABLE)
        support, query = (Batch(x.to(context.device), y.to(context.device)) for x, y in (support, query))
        if self._cursor == 0:
            self._look_at_untouched(query)
        shown = config.inner_steps * support.x.shape[1] + query.x.shape[1]
        with context.meter.unit(
            "outer", (*support.x.shape, *query.x.shape), phase=Phase.TRAIN, examples=config.task_batch * shown
        ):
            loss = self._loop.query_losses(self.fast, self.slow, self.rates, support, query).mean()
            most = EXPLOSION * self._untouched
            exploded = ~(loss.detach() <= most)  # NaN too
            self._explosions = self._explosions + exploded
            gradients = torch.autograd.grad(loss, self._learned, allow_unused=True)
            for parameter, gradient in zip(self._learned, gradients, strict=True):
                nothing = torch.zeros_like(parameter)
                parameter.grad = nothing if gradient is None else torch.where(exploded, nothing, gradient)
            # With a gradient of zero Adam would still go on as it was going.
            torch._foreach_mul_([self._optimiser.state[one]["exp_avg"] for one in self._learned], (~exploded).float())
            self._optimiser.param_groups[0]["lr"] = config.outer_learning_rate * self._decay()
            self._optimiser.step()
            self._bound(exploded)
        self._cursor += 1
        return torch.where(exploded, most, loss.detach())  # finite, so that one explosion does not end the trial

    def _decay(self) -> float:
        return (1 + math.cos(math.pi * self._cursor / self._context.horizon)) / 2 if self._config.decay else 1.0

    def _look_at_untouched(self, query: Batch) -> None:
        """The loss that adaptation must not make far worse; a unit of its own, since it happens once."""
        x, y = query.x.flatten(0, 1), query.y.flatten(0, 1)
        with self._context.meter.unit("untouched", x.shape, phase=Phase.TRAIN):
            self._untouched = self._problem.loss(self.predict(x), y).mean()

    @torch.no_grad()
    def _bound(self, exploded: Tensor) -> None:
        """Rates stay in [0, most_rate], a negative one would ascend; after an explosion they are halved."""
        most, log = self._config.most_rate, self._config.rate_form is RateForm.LOG
        for raw in self.raw_rates.values():
            raw.copy_(torch.where(exploded, raw - HALF if log else raw / 2, raw))
            raw.clamp_(max=math.log(most) if log else most, min=None if log else 0.0)

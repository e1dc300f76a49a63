"""The training loop that methods share; a complete `Method` for a given augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from tracking.cost import Phase
from trainables.method import Context, Role, Slice, State
from trainables.modules.imbalance import ImbalanceRule
from trainables.modules.recipe import RecipeConfig
from trainables.modules.state import generators_state, load_generators, require_like
from trainables.modules.tail_augmentation import Mixing
from trainables.modules.trunk import Trunk
from trainables.problems.problem import Batch, View

Augment = Callable[[Tensor, Generator], Tensor]  # (B, *shape) -> (B, *shape), drawn from the generator


class Supervised:
    """Trains the shared network on train + outer through one augmentation.

    Streams (weights, order of examples) are those of role index 0, so that two methods with the same seed
    start from the same weights and see the same batches.

    Args:
        context: problem, horizon, seeds, meter.
        recipe: the shared training recipe.
        augment: what each batch goes through; None means nothing.
        mixing: which examples do so; None means all.
        originals: what the augmentation is applied to, in place of the examples themselves: the same rows in another
            form. None: the examples.
        copies: S draws of the augmentation for each example, over which outputs are averaged; without `mixing` alone.
    """

    def __init__(
        self, context: Context, recipe: RecipeConfig, augment: Augment | None = None, mixing: Mixing | None = None,
        originals: View | None = None, copies: int = 1,
    ) -> None:
        assert copies == 1 or mixing is None
        self._context, self._recipe, self._augment, self._mixing = context, recipe, augment, mixing
        self._copies = copies
        self.trunk = Trunk(recipe.network(context), recipe, context.horizon)
        self._rule = ImbalanceRule(context, recipe.imbalance)
        self._originals = None
        if originals is not None:
            self._originals = ImbalanceRule(replace(context, problem=originals), recipe.imbalance)
        self._order, self._noise = context.generator(Role.ORDER), context.generator(Role.AUGMENT)

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self.trunk.horizon - self.trunk.cursor)
        losses = [self._update() for _ in range(updates)]
        return Slice(mean_metrics({"train/loss": losses}), Phase.TRAIN, ready=True, done=self.trunk.finished)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self.trunk.predict(x)

    def deployed(self) -> nn.Module:
        return self.trunk.network

    def state_dict(self) -> State:
        return {
            "trunk": self.trunk.state_dict(),
            "generators": generators_state((self._order, self._noise)),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self.trunk.check_state(state["trunk"])
        self.trunk.load_state_dict(state["trunk"])
        load_generators((self._order, self._noise), state["generators"])

    def _update(self) -> Tensor:
        progress = self.trunk.progress
        source, x, y = self._drawn(progress)
        if self._mixing is not None:
            x = self._mixed(self._mixing, source, x, y, progress)
        with self._context.meter.unit("update", x.shape, phase=Phase.TRAIN, examples=len(x) * self._copies):
            if self._augment is not None and self._mixing is None:
                x = self._augment(source.repeat_interleave(self._copies, 0), self._noise)
            outputs = self.trunk.outputs(x)
            if self._copies > 1:
                outputs = outputs.view(len(y), self._copies, -1).mean(1)
            loss = self._rule.loss(outputs, y, progress).mean()
            self.trunk.update(torch.autograd.grad(self._objective(loss), tuple(self.trunk.network.parameters())))
        return loss.detach()

    def _objective(self, loss: Tensor) -> Tensor:
        """What an update descends, 0-d, from the mean loss of its batch."""
        return loss

    def _drawn(self, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """What is augmented, the examples, and their labels; rows are the same in both."""
        size, before = self._recipe.batch_size, self._order.get_state()
        x, y = self._rule.batch(self._order, size, progress)
        if self._originals is None:
            return x, x, y
        self._order.set_state(before)
        return self._originals.batch(self._order, size, progress).x, x, y

    def _mixed(self, mixing: Mixing, source: Tensor, x: Tensor, y: Tensor, progress: float) -> Tensor:
        """The batch with the chosen examples augmented. A unit of its own: how many they are differs by batch."""
        rows = mixing.rows(y, progress, self._noise)
        if self._augment is None or len(rows) == 0:
            return x
        here, x = rows.to(x.device), x.clone()
        with self._context.meter.unit("augment", (len(rows), *x.shape[1:]), phase=Phase.TRAIN):
            x[here] = self._augment(source[here], self._noise)
        return x


def mean_metrics(series: Mapping[str, list[Tensor]]) -> dict[str, float]:
    """Means over a slice with one device synchronisation; an empty series is left out."""
    filled = {name: values for name, values in series.items() if values}
    if not filled:
        return {}
    means = torch.stack([torch.stack(values).mean() for values in filled.values()])
    return dict(zip(filled, means.tolist(), strict=True))

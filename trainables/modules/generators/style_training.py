"""The loop that learns a style generator: draw images and styles, five losses, Adam against Adam, an average.

The formulas are at `trainables.makers.style_generator`, which describes it to users.

Axes: B images, C channels, H height, W width, D style dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor, nn

from tracking.cost import Phase
from trainables.maker import MakerContext
from trainables.method import Role, Slice, State
from trainables.modules.generators.kind import GeneratorKind
from trainables.modules.generators.losses import adversarial_loss, discriminator_loss, diversity_loss, l1
from trainables.modules.generators.measures import Measures, diversity_ratio, told
from trainables.modules.generators.optimiser import cosine, descend, prepared_adam
from trainables.modules.generators.style_network import Discriminator, StyleNetwork
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
    from trainables.makers.style_generator import Config

EMA_HORIZON = 20.0  # the average of the weights spans a twentieth of the updates
MEASURED = 256      # images that the exported weights are measured on
LOGGED = ("g_loss", "d_loss", "reconstruction", "diversity", "swap", "spread")


class Passed(NamedTuple):
    """One pass of the generator: images x, reconstruction, both draws (2 B, ...), contents, and styles (2 B, D)."""

    x: Tensor
    reconstruction: Tensor
    made: Tensor
    content: Tensor
    own: Tensor
    styles: Tensor


class StyleTraining:
    """Keeps the contract of `Maker`."""

    def __init__(self, context: MakerContext, config: Config) -> None:
        self._context, self._config = context, config
        channels = context.problem.shape[0]
        network = context.build_network(lambda: StyleNetwork(channels, config.network))
        average = context.build_network(lambda: StyleNetwork(channels, config.network))
        discriminator = context.build_network(lambda: Discriminator(channels, config.discriminator_width), index=1)
        assert isinstance(network, StyleNetwork) and isinstance(average, StyleNetwork)
        self._network, self._average, self._discriminator = network, average.requires_grad_(False), discriminator
        self._optimiser, self._opponent = (
            prepared_adam(module.parameters(), config.weight_decay) for module in (network, discriminator)
        )
        self._order, self._styles = context.generator(Role.ORDER), context.generator(Role.AUGMENT)
        self._cursor = 0
        self._measures: Measures | None = None

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        losses = [self._update() for _ in range(updates)]
        found = mean_metrics({name: [loss[k] for loss in losses] for k, name in enumerate(LOGGED)})
        ratio = diversity_ratio(found["diversity"], found["swap"], found["spread"])
        shown = {f"pretrain/{name}": found[name] for name in ("g_loss", "d_loss", "reconstruction", "diversity")}
        metrics = {**shown, "pretrain/diversity_ratio": ratio}
        return Slice(metrics, Phase.PRETRAIN, ready=False, done=self._cursor == self._context.horizon)

    def state_dict(self) -> State:
        return {
            **{name: module_state(module) for name, module in self._modules().items()},
            "optimiser": optimiser_state(self._optimiser), "opponent": optimiser_state(self._opponent),
            "generators": generators_state((self._order, self._styles)), "cursor": self._cursor,
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._context.horizon)
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        load_optimiser(self._optimiser, state["optimiser"])
        load_optimiser(self._opponent, state["opponent"])
        load_generators((self._order, self._styles), state["generators"])
        self._cursor = state["cursor"]

    def result(self) -> State:
        """The averaged weights, what is needed to use them, and what they do on images of the pool."""
        context = self._context
        x = scaled(context.problem.balanced(context.generator(Role.ORDER, 1), MEASURED).to(context.device))
        with torch.no_grad(), context.meter.unit("measure", x.shape, phase=Phase.PRETRAIN):
            self._measures = measured(self._average, self._discriminator, x, context.generator(Role.AUGMENT, 1))
        return {
            "kind": GeneratorKind.STYLE.value, "shape": list(context.problem.shape),
            "network": self._config.network.model_dump(mode="json"), "weights": module_state(self._average),
            "measures": self._measures.state(),
        }

    def warnings(self) -> Sequence[str]:
        return told(self._measures)

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self._network, "average": self._average, "discriminator": self._discriminator}

    def _update(self) -> Tensor:
        """What is logged (6,), of one update of both sides."""
        context, config = self._context, self._config
        x = scaled(context.problem.balanced(self._order, config.batch_size).to(context.device))
        with context.meter.unit("update", x.shape, phase=Phase.PRETRAIN, examples=3 * len(x)):
            styles = self._draw(2 * len(x)).to(x)
            passed = generate(self._network, x, styles)
            loss = self._generator_loss(passed)
            share = cosine(self._cursor, context.horizon)
            gradients = torch.autograd.grad(loss, list(self._network.parameters()))
            descend(self._optimiser, gradients, config.learning_rate * share)
            opponent = discriminator_loss(self._discriminator(x), self._discriminator(passed.made.detach()))
            gradients = torch.autograd.grad(opponent, list(self._discriminator.parameters()))
            descend(self._opponent, gradients, config.learning_rate * share)
            self._average_weights()
            logged = torch.stack((loss.detach(), opponent.detach(), *distances(self._network, passed)))
        self._cursor += 1
        return logged

    def _generator_loss(self, passed: Passed) -> Tensor:
        config = self._config
        first, second = passed.made.chunk(2)
        content, style = self._network.encode(passed.made)
        return (
            adversarial_loss(self._discriminator(passed.made))
            + config.reconstruction * l1(passed.reconstruction, passed.x)
            + config.style * l1(style, passed.styles)
            + config.content * l1(content, passed.content.repeat(2, 1, 1, 1))
            + config.diversity * diversity_loss(first, second, *passed.styles.chunk(2))
        )

    def _draw(self, size: int) -> Tensor:
        return torch.randn(size, self._config.network.style_dimensions, generator=self._styles)

    def _average_weights(self) -> None:
        rate = 1.0 if self._cursor == 0 else min(1.0, EMA_HORIZON / self._context.horizon)
        with torch.no_grad():
            torch._foreach_lerp_(list(self._average.parameters()), list(self._network.parameters()), rate)


def scaled(x: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * x - 1


def generate(network: StyleNetwork, x: Tensor, styles: Tensor) -> Passed:
    """x (B, C, H, W) with its own style, and with the first B and the last B of styles (2 B, D); decoded at once."""
    content, own = network.encode(x)
    made = network.decode(content.repeat(3, 1, 1, 1), torch.cat((own, styles)), (x.shape[-2], x.shape[-1]))
    return Passed(x, made[: len(x)], made[len(x) :], content, own, styles)


@torch.no_grad()
def distances(network: StyleNetwork, passed: Passed) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reconstruction, diversity, swap and spread as in `Measures`, 0-d each; the next image is the other one."""
    size = (passed.x.shape[-2], passed.x.shape[-1])
    swapped = network.decode(passed.content, passed.own.roll(1, 0), size)
    return (
        l1(passed.reconstruction, passed.x), l1(*passed.made.chunk(2)), l1(swapped, passed.reconstruction),
        l1(passed.x, passed.x.roll(1, 0)),
    )


def measured(network: StyleNetwork, discriminator: nn.Module, x: Tensor, generator: Generator) -> Measures:
    """On images (B, C, H, W) in [-1, 1]; `generator` draws the styles, on the CPU."""
    dimensions = int(network.style_encoder(x[:1]).shape[1])
    passed = generate(network, x, torch.randn(2 * len(x), dimensions, generator=generator).to(x))
    loss = discriminator_loss(discriminator(x), discriminator(passed.made))
    reconstruction, diversity, swap, spread, last = torch.stack((*distances(network, passed), loss)).tolist()
    return Measures(diversity, swap, spread, reconstruction, last)

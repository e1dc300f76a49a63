"""The loop that pre-trains a family of extractors: draw descriptors and views, five losses, AdamW, an average.

The formula is at `trainables.makers.amortised_extractor`, which describes it to users.

Axes: G groups, n images of a group, K factors, P parameters, D features.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from spaces.descriptors import Family
from tracking.cost import Phase
from trainables.maker import MakerContext
from trainables.method import Role, Slice, State
from trainables.modules.contrast import calibration, centred_cosine, info_nce, leakage, readable, sensitivity
from trainables.modules.control import Probe, features, invariance
from trainables.modules.extractor import Extractor, Reference, packed
from trainables.modules.fast_stem import FastStem
from trainables.modules.pretraining_network import PretrainingNetwork
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
from trainables.modules.views import Views, draw_descriptors, draw_looks, draw_views, pixel_noise, render

if TYPE_CHECKING:
    from trainables.makers.amortised_extractor import Config

EMA_HORIZON = 20.0  # the average of the weights spans a twentieth of the updates
RISE = 0.05  # share of the updates in which the learning rate rises
CLIP = 1.0   # norm of the gradient
LOSSES = ("contrast", "sensitivity", "calibration", "leakage", "erasure")
MEASURED = 200  # images that the exported weights are measured on


class Heads(StrEnum):
    """What lies between features and the contrastive loss."""

    SHARED = "shared"          # one that reads the descriptor too
    PER_CORNER = "per_corner"  # one for each corner (the papers)


class Descriptors(StrEnum):
    """Which descriptors are trained."""

    CONTINUOUS = "continuous"  # corners, the cube between them, all on, all off, one on
    CORNERS = "corners"        # corners with two entries on at least (the papers)
    FIXED = "fixed"            # one: an ordinary extractor


class Drawn(NamedTuple):
    """Of an update: descriptors (G, K), heads (G,) on the CPU, views, looks (L G, K), noise (V, G, n, ...)."""

    descriptors: Tensor
    heads: Tensor
    views: Views
    looks: Tensor
    noise: Tensor


class Pretraining:
    """The loop: draw images, descriptors and views; one forward for all groups; one AdamW step; average the weights.

    Where several processes make it together, each has whole groups: a group has one descriptor wherever it is.
    """

    def __init__(self, context: MakerContext, config: Config, family: Family) -> None:
        self._context, self._config, self._family = context, config, family
        factors = len(family.factors)
        self._fixed = config.fixed_descriptor(family)
        self._emphasis = torch.tensor([config.emphasis.get(factor, 1.0) for factor in family.factors])
        shape = config.extractor(family, context.problem.shape)
        corners = family.corners()
        self._looks = config.looks if config.descriptors is Descriptors.CONTINUOUS else 0
        self._views = 3 if config.controlled else 2  # no loss asks for the third one else
        self._corners = corners[corners.sum(1) >= min(2, factors)]
        heads = len(self._corners) if config.heads is Heads.PER_CORNER else 1
        model = context.build_network(lambda: PretrainingNetwork(shape, family, heads))
        assert isinstance(model, PretrainingNetwork)
        self._model = model
        self._stem = FastStem(model.extractor.stem, context.device, config.precision, config.compiling)
        self._average = module_state(self._model.extractor)
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, foreach=True
        )
        for parameter in self._model.parameters():  # what the first step would make: one layout from the start
            self._optimiser.state[parameter] = {
                "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        share = config.groups // context.team.size
        self._own = slice(share * context.team.rank, share * (context.team.rank + 1))  # of the groups
        self._cursor = 0
        self._order, self._noise, self._search = (
            context.generator(role) for role in (Role.ORDER, Role.AUGMENT, Role.SEARCH)
        )

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        losses = [self._update() for _ in range(updates)]
        series = {f"pretrain/{name}": [loss[k] for loss in losses] for k, name in enumerate(LOSSES)}
        return Slice(mean_metrics(series), Phase.PRETRAIN, ready=False, done=self._cursor == self._context.horizon)

    def state_dict(self) -> State:
        return {
            "model": module_state(self._model), "average": {n: v.clone() for n, v in self._average.items()},
            "optimiser": optimiser_state(self._optimiser), "cursor": self._cursor,
            "generators": generators_state((self._order, self._noise, self._search)),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._context.horizon)
        self._model.load_state_dict(state["model"])
        for name, value in state["average"].items():
            self._average[name].copy_(value)
        load_optimiser(self._optimiser, state["optimiser"])
        load_generators((self._order, self._noise, self._search), state["generators"])
        self._cursor = state["cursor"]

    def result(self) -> State:
        """The averaged weights, what is needed to use them, and what they do on images of the pool."""
        config, pool = self._model.extractor.config, self._context.problem
        made = Extractor(packed(config, self._family, pool.shape, self._average), self._context.device)
        x = pool.unlabelled(self._context.generator(Role.ORDER, 1), MEASURED).to(self._context.device)
        with self._context.meter.unit("measure", x.shape, phase=Phase.PRETRAIN):
            probe, on = Probe.draw(made, x, Generator().manual_seed(0)), torch.ones(1, config.factors)
            centre = features(made, probe.plain, on)[0].mean(0)
            reference = Reference(invariance(probe, on)[0], centre)
        return packed(config, self._family, pool.shape, self._average, reference)

    def _update(self) -> Tensor:
        """The losses (5,) of one update."""
        context, config, team = self._context, self._config, self._context.team
        count = config.groups * config.images
        x = context.problem.unlabelled(self._order, count).view(config.groups, config.images, *context.problem.shape)
        with context.meter.unit("update", x.shape, phase=Phase.PRETRAIN, examples=self._views * count, times=team.size):
            drawn = self._draw(x)
            losses = self._losses(x[self._own].to(context.device), drawn)
            weights = (1.0, config.sensitivity, config.calibration, config.leakage, config.erasure)
            total = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
            parameters = list(self._model.parameters())
            # Zeros for what reads parameters off the features, where no loss asks for it.
            gradients = torch.autograd.grad(total, parameters, materialize_grads=True)
            losses = losses.detach()
            team.average((*gradients, losses))  # every loss is a mean over groups, so this is that of all groups
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            nn.utils.clip_grad_norm_(parameters, CLIP)
            for group in self._optimiser.param_groups:
                group["lr"] = config.learning_rate * one_cycle(self._cursor, context.horizon)
            self._optimiser.step()
            self._optimiser.zero_grad(set_to_none=True)
            self._average_weights()
        self._cursor += 1
        return losses

    def _draw(self, x: Tensor) -> Drawn:
        """For all groups x (G, n, ...), in every process alike; what is handed on are this process's own."""
        config, own, device = self._config, self._own, self._context.device
        descriptors, heads = self._draw_descriptors()
        views = draw_views(self._family, descriptors, config.images, config.views, self._emphasis, self._noise)
        looks = draw_looks(self._looks, views.factor, descriptors.shape[-1], self._search, config.leakage > 0)
        noise = pixel_noise(len(views.theta), x, self._noise)  # drawn for all, so that every row sees the same images
        views = views._replace(theta=views.theta[: self._views])
        return Drawn(
            descriptors[own].to(device), heads[own], views.of(own).to(device),
            looks[:, own].flatten(0, 1).to(device), noise[: self._views, own].to(device),
        )

    def _losses(self, x: Tensor, given: Drawn) -> Tensor:
        config, model = self._config, self._model
        descriptors, heads, drawn, looks, noise = given
        seen = render(self._family, x, drawn.theta, noise)
        response = self._stem(seen.flatten(0, 1))
        response = response.view(*seen.shape[:2], *response.shape[1:])
        features = model.extractor.tail(response, descriptors)
        first, second = (model.head(view, descriptors, heads) for view in features.chunk(self._views, 1)[:2])
        contrast = info_nce(first, second, config.temperature)
        if not config.controlled:
            return functional.pad(contrast[None], (0, len(LOSSES) - 1))
        erasure = self._erasure(features, drawn, descriptors) if config.erasure else torch.zeros_like(contrast)
        return torch.stack((contrast, *self._told_apart(features, response, drawn, descriptors, looks), erasure))

    def _told_apart(
        self, features: Tensor, response: Tensor, drawn: Views, descriptors: Tensor, looks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sensitivity, calibration and leakage of first and third views, under the group's descriptor and all looks."""
        first, _, third = features.chunk(3, 1)
        if len(looks):
            again, moved = self._look(response, looks)
            first, third = torch.cat((first, again)), torch.cat((third, moved))
        every, times = torch.cat((descriptors, looks)), 1 + self._looks
        entry = every.gather(1, drawn.factor.repeat(times)[:, None])  # (times G, 1)
        theta, change = self._family.effective(drawn.theta[0]).repeat(times, 1, 1), drawn.change.repeat(times, 1)
        kept = sensitivity(self._model.read(first), theta, self._family.spread(every)[:, None])
        similarity = centred_cosine(first, third)
        leaked = torch.zeros_like(kept)
        if self._config.leakage:
            leaked = leakage(*similarity[len(descriptors):].chunk(2))
        return kept, calibration(similarity, entry, change), leaked

    def _look(self, response: Tensor, looks: Tensor) -> tuple[Tensor, Tensor]:
        """First and third views (G, 3 n, ...) under more descriptors (L G, K): features (L G, n, D) twice."""
        first, _, third = response.chunk(3, 1)
        pair = torch.cat((first, third), 1)
        again = pair.repeat(len(looks) // len(pair), *(1 for _ in pair.shape[1:]))
        first, third = self._model.extractor.tail(again, looks).chunk(2, 1)
        return first, third

    def _erasure(self, features: Tensor, drawn: Views, descriptors: Tensor) -> Tensor:
        theta = self._family.effective(drawn.theta).transpose(0, 1).flatten(1, 2)
        some_kept = 1 - descriptors.prod(-1, keepdim=True).floor()  # 0 with everything on
        share = (some_kept * self._family.spread(descriptors))[:, None]
        return readable(features, theta, share, self._views)

    def _draw_descriptors(self) -> tuple[Tensor, Tensor]:
        """(G, K), and which head each group uses (G,)."""
        config, factors = self._config, len(self._family.factors)
        none = torch.zeros(config.groups, dtype=torch.int64)
        if config.descriptors is Descriptors.FIXED:
            return self._fixed.expand(config.groups, factors), none
        if config.descriptors is Descriptors.CONTINUOUS:
            return draw_descriptors(config.groups, factors, config.all_on, self._search), none
        chosen = torch.randint(len(self._corners), (config.groups,), generator=self._search)
        return self._corners[chosen], chosen if config.heads is Heads.PER_CORNER else none

    def _average_weights(self) -> None:
        """An exponential average over the last few per cent of the updates: what is exported."""
        rate = min(1.0, EMA_HORIZON / self._context.horizon)
        with torch.no_grad():
            for name, value in self._model.extractor.state_dict().items():
                self._average[name].lerp_(value, 1.0 if self._cursor == 0 else rate)


def one_cycle(cursor: int, horizon: int) -> float:
    """Share of the peak learning rate: a linear rise, then a cosine to zero."""
    rise = min(1.0, (cursor + 1) / max(1.0, RISE * horizon))
    return rise * 0.5 * (1 + math.cos(math.pi * cursor / horizon))

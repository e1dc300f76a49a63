"""Pre-trains a family of feature extractors f(x; i) that an invariance descriptor indexes.

    L = InfoNCE_group(tau) + lambda_s sum_k (1 - i_k) |read(f)_k - theta_k|^2 + lambda_c (S_k - wanted(i_k))^2

per group of images with one descriptor i (HyperInvariances, Chavhan et al. 2022, 2023, trains the first term alone).
With `views: omit`, `conditioning: kernels`, `heads: per_corner` and both lambdas 0 it is the papers' method; the
defaults are ours: shared parameters, continuous strengths, and a third view that ties i_k to the measured invariance.

Axes: G groups, n images of a group, K factors, P parameters, D features.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn.functional import silu

from spaces.descriptors import Factor, Family, standard_family
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.maker import Maker, MakerConfig, MakerContext
from trainables.method import Role, Slice, State
from trainables.modules.conditioned import Begin, ConditionedExtractor, Conditioning, ExtractorConfig
from trainables.modules.contrast import calibration, centred_cosine, info_nce, sensitivity
from trainables.modules.control import Probe, invariance
from trainables.modules.extractor import Extractor, packed
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
from trainables.modules.views import Pairing, draw_descriptors, draw_views, render

EMBEDDING = 64  # length of what the contrastive loss compares
EMA_HORIZON = 20.0  # the average of the weights spans a twentieth of the updates
EMPHASIS = {
    Factor.ROTATION: 1.5, Factor.TRANSLATION: 1.5, Factor.SHEAR: 2.5, Factor.CONTRAST: 2.5, Factor.BLUR: 2.5,
}
RISE = 0.05  # share of the updates in which the learning rate rises
CLIP = 1.0   # norm of the gradient
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


class Config(MakerConfig):
    """What is trained, and how long.

    Args:
        factors: of the family; None means the standard ones for these channels.
        limits: half-widths that differ from the family's defaults, in the units of the operations.
        width, features, conditioning, begin, network, bases: see `ExtractorConfig`.
        views: what an entry that is off means.
        heads: between features and the contrastive loss.
        descriptors: which are trained.
        fixed: with `descriptors: fixed`, the one, by name.
        fixed_entry: its entries that are not named.
        groups: G, descriptors per update.
        images: n, per group; the n - 1 others of the group are the negatives.
        temperature: tau.
        sensitivity, calibration: lambda_s and lambda_c.
        emphasis: how often a factor is the one that the third view tells apart; 1 where it is not named. Factors that
            others imitate (shear and rotation, contrast and blur) need more of it.
        learning_rate: peak of AdamW's one cycle (5 % rise, cosine to zero).
        weight_decay: decoupled.
    """

    version: ClassVar[int] = 1

    horizon: int = Field(default=900, ge=1)
    factors: tuple[Factor, ...] | None = None
    limits: dict[str, float] = Field(default_factory=dict)
    width: int = 32
    features: int = 128
    conditioning: Conditioning = Conditioning.FILM
    bases: int = 0
    begin: Begin = Begin.POOLED
    network: str | None = None
    views: Pairing = Pairing.SHARE
    heads: Heads = Heads.SHARED
    descriptors: Descriptors = Descriptors.CONTINUOUS
    fixed: dict[str, float] = Field(default_factory=dict)
    fixed_entry: float = Field(default=0.0, ge=0, le=1)
    groups: int = Field(default=8, ge=1)
    images: int = Field(default=32, ge=2)
    temperature: float = Field(default=0.2, gt=0)
    sensitivity: float = Field(default=0.5, ge=0)
    calibration: float = Field(default=10.0, ge=0)
    emphasis: dict[Factor, float] = Field(default_factory=lambda: dict(EMPHASIS))
    learning_rate: float = Field(default=4e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.heads is Heads.PER_CORNER and self.descriptors is not Descriptors.CORNERS:
            raise UserError("one head per corner needs descriptors that are corners", self.descriptors,
                            "set descriptors: corners, or heads: shared")
        return self

    def family(self, channels: int) -> Family:
        """The family for images with so many channels; UserError where a factor needs others."""
        factors = self.factors or standard_family(channels).factors
        try:
            family = Family.model_validate({"factors": factors, "limits": self.limits})
        except ValueError as error:
            raise UserError("factors and limits of an extractor must fit together", error) from None
        if not family.fits(channels):
            raise UserError("the factor `colour` needs three channels", channels, "leave it out of `factors`")
        return family

    def fixed_descriptor(self, family: Family) -> Tensor:
        """(K,); UserError where a name or a value is wrong."""
        entries = dict.fromkeys((factor.value for factor in family.factors), self.fixed_entry)
        try:
            return family.descriptor({**entries, **self.fixed})
        except ValueError as error:
            raise UserError("a fixed descriptor must fit the family", error) from None

    def build(self, context: MakerContext) -> Maker:
        """Raises UserError where the inputs are not images, or too small."""
        shape = context.problem.shape
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise UserError("an extractor needs images (C, H, W) from 8 x 8 on", shape, "name a source of images")
        return Pretraining(context, self, self.family(shape[0]))


class Pretraining:
    """The loop: draw images, descriptors and views; one forward for all groups; one AdamW step; average the weights."""

    def __init__(self, context: MakerContext, config: Config, family: Family) -> None:
        self._context, self._config, self._family = context, config, family
        factors = len(family.factors)
        self._fixed = config.fixed_descriptor(family)
        self._emphasis = torch.tensor([config.emphasis.get(factor, 1.0) for factor in family.factors])
        shape = ExtractorConfig(
            channels=context.problem.shape[0], factors=factors, width=config.width, features=config.features,
            conditioning=config.conditioning, bases=config.bases, begin=config.begin,
            network=config.network, size=None if config.network is None else context.problem.shape[1:],
        )
        corners = family.corners()
        self._corners = corners[corners.sum(1) >= min(2, factors)].to(context.device)
        heads = len(self._corners) if config.heads is Heads.PER_CORNER else 1
        model = context.build_network(lambda: _Pretrained(shape, family, heads))
        assert isinstance(model, _Pretrained)
        self._model = model
        self._average = module_state(self._model.extractor)
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, foreach=True
        )
        for parameter in self._model.parameters():  # what the first step would make: one layout from the start
            self._optimiser.state[parameter] = {
                "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._cursor = 0
        self._order, self._noise, self._search = (
            context.generator(role) for role in (Role.ORDER, Role.AUGMENT, Role.SEARCH)
        )

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        losses = [self._update() for _ in range(updates)]
        names = ("contrast", "sensitivity", "calibration")
        series = {f"pretrain/{name}": [loss[k] for loss in losses] for k, name in enumerate(names)}
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
            probe = Probe.draw(made, x, Generator().manual_seed(0))
            on = invariance(probe, torch.ones(1, config.factors))[0]
        return packed(config, self._family, pool.shape, self._average, on)

    def _update(self) -> Tensor:
        """The three losses (3,) of one update."""
        context, config = self._context, self._config
        count = config.groups * config.images
        x = context.problem.unlabelled(self._order, count).to(context.device)
        with context.meter.unit("update", x.shape, phase=Phase.PRETRAIN, examples=3 * count):
            losses = self._losses(x.view(config.groups, config.images, *x.shape[1:]))
            total = losses[0] + config.sensitivity * losses[1] + config.calibration * losses[2]
            parameters = list(self._model.parameters())
            for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
                parameter.grad = gradient
            nn.utils.clip_grad_norm_(parameters, CLIP)
            for group in self._optimiser.param_groups:
                group["lr"] = config.learning_rate * one_cycle(self._cursor, context.horizon)
            self._optimiser.step()
            self._optimiser.zero_grad(set_to_none=True)
            self._average_weights()
        self._cursor += 1
        return losses.detach()

    def _losses(self, x: Tensor) -> Tensor:
        config, family, model = self._config, self._family, self._model
        descriptors, heads = self._draw_descriptors()
        drawn = draw_views(family, descriptors, config.images, config.views, self._emphasis, self._noise).to(x.device)
        descriptors = descriptors.to(x.device)
        seen = render(family, x, drawn.theta, self._noise)
        first, second, third = model.extractor.groups(seen, descriptors).chunk(3, 1)
        entry = descriptors.gather(1, drawn.factor)
        return torch.stack((
            info_nce(model.head(first, descriptors, heads), model.head(second, descriptors, heads), config.temperature),
            sensitivity(model.read(first), drawn.theta[0], family.spread(descriptors)[:, None]),
            calibration(centred_cosine(first, third), entry, drawn.change),
        ))

    def _draw_descriptors(self) -> tuple[Tensor, Tensor]:
        """(G, K), and which head each group uses (G,)."""
        config, factors = self._config, len(self._family.factors)
        none = torch.zeros(config.groups, dtype=torch.int64)
        if config.descriptors is Descriptors.FIXED:
            return self._fixed.expand(config.groups, factors), none
        if config.descriptors is Descriptors.CONTINUOUS:
            return draw_descriptors(config.groups, factors, self._search), none
        chosen = torch.randint(len(self._corners), (config.groups,), generator=self._search)
        return self._corners[chosen], chosen if config.heads is Heads.PER_CORNER else none

    def _average_weights(self) -> None:
        """An exponential average over the last few per cent of the updates: what is exported."""
        rate = min(1.0, EMA_HORIZON / self._context.horizon)
        with torch.no_grad():
            for name, value in self._model.extractor.state_dict().items():
                self._average[name].lerp_(value, 1.0 if self._cursor == 0 else rate)


class _Pretrained(nn.Module):
    """The extractor, and what is thrown away after pre-training: contrastive heads and the linear reader of theta."""

    extractor: ConditionedExtractor

    def __init__(self, shape: ExtractorConfig, family: Family, heads: int) -> None:
        super().__init__()
        self.extractor = ConditionedExtractor(shape)
        inside, reads = shape.features, shape.factors if heads == 1 else 0
        self.first = nn.Parameter(torch.randn(heads, inside + reads, inside) * (2 / (inside + reads)) ** 0.5)
        self.second = nn.Parameter(torch.randn(heads, inside, EMBEDDING) * (2 / inside) ** 0.5)
        self.reader = nn.Linear(inside, len(family.operations))

    def head(self, features: Tensor, descriptors: Tensor, heads: Tensor) -> Tensor:
        """(G, n, D) -> (G, n, E), by the group's own head."""
        scaled = features * math.sqrt(features.shape[-1])
        if len(self.first) == 1:
            scaled = torch.cat((scaled, descriptors[:, None].expand(-1, features.shape[1], -1)), -1)
        return silu(scaled @ self.first[heads]) @ self.second[heads]

    def read(self, features: Tensor) -> Tensor:
        """(G, n, D) -> (G, n, P)."""
        return self.reader(features * math.sqrt(features.shape[-1]))  # type: ignore[no-any-return]


def one_cycle(cursor: int, horizon: int) -> float:
    """Share of the peak learning rate: a linear rise, then a cosine to zero."""
    rise = min(1.0, (cursor + 1) / max(1.0, RISE * horizon))
    return rise * 0.5 * (1 + math.cos(math.pi * cursor / horizon))

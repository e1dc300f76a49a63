"""The training recipe that all methods share: same fields, same domains, so none is tuned harder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import pairwise
from typing import Self

from pydantic import Field, field_validator, model_validator
from torch import nn

from spaces.domain import Domain, Float
from tracking.errors import UserError
from trainables.artefact import ArtefactSpec
from trainables.idle_fields import refuse_idle
from trainables.method import Context, MethodConfig, NetworkBuilder, drawn
from trainables.modules.amortised import NAME, ExtractorChoice
from trainables.modules.cosine_head import with_cosine_head
from trainables.modules.fast_stem import Compiling, Precision
from trainables.modules.imbalance import ImbalanceConfig, Loss
from trainables.modules.pretrained_network import on_trunk
from trainables.problems.problem import View
from trainables.problems.spec import ProblemSpec

RECIPE_DOMAINS: dict[str, Domain] = {
    "learning_rate": Float(low=0.01, high=0.5, log=True),
    "weight_decay": Float(low=1e-5, high=1e-2, log=True),
}


class Decay(StrEnum):
    """What the learning rate does after warm-up in a training with a planned end."""

    COSINE = "cosine"  # to zero at the horizon
    STEPS = "steps"    # constant, with a drop at each of `drops`


class RecipeConfig(MethodConfig):
    """SGD with Nesterov momentum, linear warm-up, and a decay that is a cosine to zero.

    Args:
        learning_rate: peak of the schedule.
        weight_decay: coupled (added to the gradient), on all weights.
        momentum: of Nesterov.
        warm_up: share of the horizon that the linear rise takes.
        learning_rate_decay: what follows warm-up; the constant rate of a bilevel search has none.
        drops: of STEPS: shares of the horizon in (0, 1), rising; the update at which one is reached is the first after
            the drop. The standard settings for imbalanced classes: 0.8, 0.9.
        drop_factor: in (0, 1], what each drop multiplies the rate by.
        batch_size: examples per update.
        imbalance: how classes of different sizes are treated: sampling, weights and loss of every training, and what of
            it a search takes over. The default treats every example alike; others are for classification only.
        precision, compiling: of the network's forward pass in training, see `fast_stem`; AUTO changes nothing on a CPU.
        pretrained: start from this extractor, its descriptor all on, under a fresh linear head, and train all weights.
            None starts from the comparison's own network with fresh weights.
    """

    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    warm_up: float = Field(default=0.05, ge=0, le=1)
    learning_rate_decay: Decay = Decay.COSINE
    drops: tuple[float, ...] = (0.8, 0.9)
    drop_factor: float = Field(default=0.01, gt=0, le=1)
    batch_size: int = Field(default=64, ge=1)
    imbalance: ImbalanceConfig = ImbalanceConfig()
    precision: Precision = Precision.AUTO
    compiling: Compiling = Compiling.AUTO
    pretrained: ExtractorChoice | None = None

    @field_validator("drops")
    @classmethod
    def _rising(cls, drops: tuple[float, ...]) -> tuple[float, ...]:
        if not all(before < after for before, after in pairwise((0.0, *drops, 1.0))):
            raise UserError("drops of the learning rate must rise within (0, 1)", ", ".join(f"{d:g}" for d in drops))
        return drops

    @model_validator(mode="after")
    def _drops_are_of_steps(self) -> Self:
        if self.learning_rate_decay is not Decay.STEPS:
            refuse_idle(self, ("drops", "drop_factor"), "rates that fall in steps", "set `learning_rate_decay: steps`")
        return self

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {} if self.pretrained is None else {NAME: self.pretrained.spec(problem, data_seed)}

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where `imbalance` needs classes, or a last linear layer, that are not there."""
        super().fits(problem, network)
        self.imbalance.require(problem)
        if self.pretrained is not None:
            self.pretrained.require(problem)
        if self.imbalance.loss is Loss.LDAM and self.pretrained is None:
            headed = with_cosine_head(network, self.imbalance.scale)
            drawn(lambda: headed(problem.shape, problem.outputs), seed=0)

    def network(self, context: Context, index: int = 0) -> nn.Module:
        """What this recipe trains, with its starting weights; `index` tells apart several in one trial.

        Raises:
            UserError: the extractor was trained on images of another shape; LDAM, and the last layer is not linear.
        """
        based = context if self.pretrained is None else on_trunk(context)
        if self.imbalance.loss is Loss.LDAM:
            based = replace(based, network=with_cosine_head(based.network, self.imbalance.scale))
        return based.build_network(index)

    def beyond_training(self) -> frozenset[str]:
        """Names in `space` that only a search reads: idle where what it would find is given."""
        return frozenset(self.space.names) - RECIPE_DOMAINS.keys()

"""LILA (Immer, van der Ouderaa, Raetsch, Fortuin, van der Wilk, 2022): ranges by the Laplace marginal likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from spaces.domain import Float, Space
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.method import Context, Method, NetworkBuilder, Slice, State, drawn
from trainables.modules.augmentation import LearnedAffine
from trainables.modules.augmentation.standard import set_widths, widths
from trainables.modules.bilevel_search import repeatable
from trainables.modules.fixed_augmentation import FixedAugmentation
from trainables.modules.images import require_image
from trainables.modules.imbalance import Loss, Weighting
from trainables.modules.kronecker import curved_layers, kronecker_factors, signs
from trainables.modules.layer_training import LayerTraining
from trainables.modules.marginal_likelihood import PRECISIONS, averaged_outputs, evidence, prior_squares
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import mean_metrics
from trainables.problems.problem import LEARNABLE, Kind, View

TRIED = 2   # images that a network is tried on before work
SEARCH = "the marginal likelihood"  # what its network must repeat
PASSES = 3  # of an estimate, for each copy: outputs, the factors' gradients, and back through both: counted as B + 2 B
KEPT = 0.5  # of the logarithm of the prior's precision at each estimate: a block says it roughly


class Config(RecipeConfig):
    """Ranges of one warp that make the labels likely under all weights near the trained ones, not under those alone.

    No reward and no held-out data: wide ranges pay by a simpler function. The network trains on outputs averaged over
    copies; between its updates the ranges climb the estimate of `marginal_likelihood`, and the prior's precision goes
    to where that estimate is largest. Weight decay is the prior, on linear and convolution layers alone: the recipe's
    own times the number of examples is the precision that learning begins with.

    It takes many copies and many estimates (docs/log.md): with few of either the ranges shrink before the precision
    has found its place. An update costs as many forward and backward passes as there are copies, an
    estimate PASSES times those of its block.

    Deviations from the paper: estimates from the start on and at every few updates on a block instead of after each
    epoch on all data; the precision in closed form, one for all layers; signs instead of a pass per output; fewer
    copies than its 20 to 31.

    Args:
        copies: S per image, in training (also with `ranges`, at the same price) and for the estimate.
        block: m images per estimate, all their copies in memory at once.
        burn_in: share of the horizon before the first estimate.
        interval: updates of the network between two estimates.
        augmentation_learning_rate: Adam's, of the ranges' logits; it falls with the network's.
        initial_range: as a share of the caps, in (0, 1).
        ranges: what a search found, by operation; then nothing is learned, and training is from scratch through them.
        prior_decay: what a search found beside `ranges`: the prior's precision by example, which is the weight decay
            of linear and convolution layers in a training through them; nothing else decays then. None: `weight_decay`,
            on all weights.
        imbalance: of rules for imbalanced classes, resampling alone goes with the marginal likelihood, whose blocks are
            then resampled too: it is that of the resampled examples. It expands the cross-entropy about weights that
            minimise it, so other losses and weights are refused, unless `ranges` are given.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "augmentation_learning_rate": Float(low=0.02, high=0.5, log=True),
    })
    images: ClassVar[bool] = True

    copies: int = Field(default=16, ge=1)
    block: int = Field(default=48, ge=1)
    burn_in: float = Field(default=0.1, ge=0, lt=1)
    interval: int = Field(default=4, ge=1)
    augmentation_learning_rate: float = Field(default=0.2, gt=0)
    initial_range: float = Field(default=0.05, gt=0, lt=1)
    ranges: dict[str, float] | None = None
    prior_decay: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _prior_is_of_ranges(self) -> Self:
        if self.ranges is None:
            refuse_idle(self, ("prior_decay",), "a training through ranges that are given", "set `weight_decay`, "
                        "where learning the prior begins")
        return self

    def idle(self) -> frozenset[str]:
        """Of ranges that are given only the training is left to tune, and a prior that is given is its decay."""
        given = frozenset() if self.prior_decay is None else frozenset({"weight_decay"})
        return given if self.ranges is None else given | self.beyond_training()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError also where problem, rule or network do not go with the marginal likelihood, or a range not.
        """
        super().fits(problem, network)
        self._require_likelihood(problem)
        self._layer()
        if self.pretrained is not None:
            return
        tried = drawn(lambda: network(problem.shape, problem.outputs), seed=0)
        if self.ranges is None:
            repeatable(tried, SEARCH)
            x = torch.zeros(TRIED, 1, *problem.shape)
            kronecker_factors(tried, x, torch.ones(1, TRIED, problem.outputs))
        elif self.prior_decay is not None:
            curved_layers(tried)

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images or the targets no classes, or a range or rule does not fit.
        """
        self._require_likelihood(context.problem)
        require_image("lila", context.problem.shape)
        layer = self._layer().to(context.device)
        if self.ranges is None:
            return Lila(context, self, layer)
        if self.prior_decay is None:
            return FixedAugmentation(context, self, layer, self.copies)
        return Replay(context, self, layer, self.prior_decay)

    def _layer(self) -> LearnedAffine:
        layer = LearnedAffine(start=self.initial_range)
        if self.ranges is not None:
            set_widths(layer, self.ranges)
        return layer

    def _require_likelihood(self, problem: View) -> None:
        if problem.kind is not Kind.CLASSIFICATION:
            raise UserError("lila needs classes: its curvature is that of the cross-entropy", problem.kind)
        rule = self.imbalance
        if self.ranges is None and (rule.loss is not Loss.CROSS_ENTROPY or rule.weighting is not Weighting.NONE):
            raise UserError(
                "the marginal likelihood of lila needs the plain cross-entropy of every example",
                f"loss: {rule.loss}, weighting: {rule.weighting}", "set `sampling: balanced` instead",
            )


class Lila(LayerTraining):
    """The network's loop with steps on the marginal likelihood in between."""

    def __init__(self, context: Context, config: Config, layer: LearnedAffine) -> None:
        self._config, self._examples = config, context.problem.size(*LEARNABLE)
        super().__init__(
            context, config.model_copy(update={"weight_decay": 0.0}), layer,
            {layer.ranges.logits: config.augmentation_learning_rate},
        )
        self._precision = torch.tensor(config.weight_decay * self._examples, device=context.device).clamp(*PRECISIONS)
        curved_layers(repeatable(self.trunk.network, SEARCH))  # raises where there are none

    def step(self) -> Slice:
        losses, estimates = [], []
        for _ in range(self._updates_left()):
            cursor = self.trunk.cursor
            if cursor % self._config.interval == 0 and cursor >= self._config.burn_in * self.trunk.horizon:
                estimates.append(self._widen())
            losses.append(self._update())
        metrics = mean_metrics({"train/loss": losses, "train/log_marginal_likelihood": estimates})
        return Slice(metrics, Phase.TRAIN, ready=True, done=self.trunk.finished)

    def describe(self) -> Mapping[str, float]:
        return {**super().describe(), "prior/precision": float(self._precision)}

    def found(self) -> Config:
        """With the prior too: its precision is of a sum over all examples, a decay of their mean."""
        prior = float(self._precision) / self._examples
        return self._config.model_copy(update={"ranges": widths(self.layer), "prior_decay": prior})

    def _more_state(self) -> State:
        return {"precision": self._precision.clone()}

    def _load_more(self, state: State) -> None:
        self._precision.copy_(state["precision"])

    def _copies(self, x: Tensor, generator: Generator) -> Tensor:
        """(B, *shape) -> (B, S, *shape)."""
        many = x.repeat_interleave(self._config.copies, 0)
        return self.layer.augment(many, self.layer.sample(len(many), generator)).view(len(x), -1, *x.shape[1:])

    def _update(self) -> Tensor:
        self._remember()
        context, config, progress = self._context, self._config, self.trunk.progress
        x, y = self._rule.batch(self._order, config.batch_size, progress)
        with context.meter.unit("update", x.shape, phase=Phase.TRAIN, examples=len(x) * config.copies):
            with torch.no_grad():
                copies = self._copies(x, self._noise)
            loss = self._rule.loss(averaged_outputs(self.trunk.outputs, copies), y, progress).mean()
            prior = self._precision / (2 * self._examples) * prior_squares(self.trunk.network)
            weights = tuple(self.trunk.network.parameters())
            self.trunk.update(torch.autograd.grad(loss + prior, weights, materialize_grads=True))
        return loss.detach()

    def _widen(self) -> Tensor:
        """One step of the ranges, after one of the precision."""
        context, config = self._context, self._config
        x, y = self._rule.batch(self._search, config.block, self.trunk.progress)
        with context.meter.unit("estimate", x.shape, phase=Phase.SEARCH, examples=PASSES * len(x) * config.copies):
            probes = signs(self._search, len(x), context.problem.outputs, context.device)
            found = evidence(self.trunk.network, self._copies(x, self._noise), y, self._examples, probes)
            best = found.best_precision(self._precision)
            self._precision.copy_(self._precision**KEPT * best ** (1 - KEPT))
            value = found.value(self._precision)
            # Once a network has memorised its examples, the slope at its weights asks for narrower ranges, whatever is
            # likelier for networks that are trained through others: so both come to rest together.
            cooled = self.trunk.learning_rate / config.learning_rate
            self._adam.update(torch.autograd.grad(-value, self._learned), cooled)
        return value.detach()


class Replay(FixedAugmentation):
    """Training through ranges that were found, under the prior that was found with them, as the search trained."""

    def __init__(self, context: Context, config: Config, layer: LearnedAffine, decay: float) -> None:
        super().__init__(context, config.model_copy(update={"weight_decay": 0.0}), layer, config.copies)
        self._found, self._decay = config, decay
        curved_layers(self.trunk.network)  # raises where there are none

    def _objective(self, loss: Tensor) -> Tensor:
        # Not as the optimiser's decay: the prior is on a weight as it is used, however it is parametrised.
        return loss + self._decay / 2 * prior_squares(self.trunk.network)

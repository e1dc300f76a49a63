"""LILA (Immer, van der Ouderaa, Raetsch, Fortuin, van der Wilk, 2022): ranges by the Laplace marginal likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from spaces.domain import Float, Space
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.method import Context, Method, NetworkBuilder, Slice, State
from trainables.modules.augmentation import LearnedAffine
from trainables.modules.augmentation.standard import set_widths, widths
from trainables.modules.fixed_augmentation import FixedAugmentation
from trainables.modules.images import require_image
from trainables.modules.imbalance import Loss, Weighting
from trainables.modules.layer_training import LayerTraining
from trainables.modules.marginal_likelihood import averaged_outputs, log_marginal_likelihood
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import mean_metrics
from trainables.problems.problem import LEARNABLE, Kind, View

LEAST_PRECISION = 1e-3  # of the prior at the start


class Config(RecipeConfig):
    """Ranges of one warp that make the labels likely under all weights near the trained ones, not under those alone.

    No reward and no held-out data: wide ranges pay by a simpler function. The network trains on outputs averaged over
    copies; between its updates the ranges and the prior's precision descend the estimate of `marginal_likelihood`.
    Weight decay is the prior: the recipe's own times the number of examples is the precision that learning begins with.

    It takes many copies: with 4 of them ranges shrank on digits whether or not an invariance was there, with 16 they
    tell the two apart (docs/log.md). An update costs as many forward and backward passes as there are copies.

    Deviations from the paper: the determinant on blocks of examples without Kronecker factors, one precision for all
    layers, the cross-entropy on the block instead of a whole pass; fewer copies than its 20 to 31.

    Args:
        copies: S per image, in training and for the estimate.
        block: m images per estimate; its memory grows with m^2 C^2 and with m C P.
        burn_in: share of the horizon before the first estimate.
        interval: updates of the network between two estimates.
        augmentation_learning_rate: Adam's, of the ranges' logits.
        precision_learning_rate: Adam's, of its logarithm.
        initial_range: as a share of the caps, in (0, 1).
        ranges: what a search found, by operation; then nothing is learned, and training is from scratch through them.
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
    burn_in: float = Field(default=0.25, ge=0, lt=1)
    interval: int = Field(default=20, ge=1)
    augmentation_learning_rate: float = Field(default=0.1, gt=0)
    precision_learning_rate: float = Field(default=0.1, gt=0)
    initial_range: float = Field(default=0.05, gt=0, lt=1)
    ranges: dict[str, float] | None = None

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError also where the rule for imbalanced classes does not go with the marginal likelihood."""
        super().fits(problem, network)
        self._require_likelihood()

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images or the targets no classes, or a range or rule does not fit.
        """
        self._require_likelihood()
        require_image("lila", context.problem.shape)
        if context.problem.kind is not Kind.CLASSIFICATION:
            raise UserError("lila needs classes: its curvature is that of the cross-entropy", context.problem.kind)
        layer = LearnedAffine(start=self.initial_range).to(context.device)
        if self.ranges is None:
            return Lila(context, self, layer)
        set_widths(layer, self.ranges)
        return FixedAugmentation(context, self, layer)

    def _require_likelihood(self) -> None:
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
        start = max(config.weight_decay * self._examples, LEAST_PRECISION)
        self._log_precision = nn.Parameter(torch.tensor(start, device=context.device).log())
        rates = {layer.ranges.logits: config.augmentation_learning_rate,
                 self._log_precision: config.precision_learning_rate}
        super().__init__(context, config.model_copy(update={"weight_decay": 0.0}), layer, rates)

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
        return {**super().describe(), "prior/precision": float(self._log_precision.detach().exp())}

    def found(self) -> Config:
        return self._config.model_copy(update={"ranges": widths(self.layer)})

    def _more_state(self) -> State:
        return {"log_precision": self._log_precision.detach().clone()}

    def _load_more(self, state: State) -> None:
        self._log_precision.data.copy_(state["log_precision"])

    def _copies(self, x: Tensor, generator: Generator) -> Tensor:
        """(B, *shape) -> (B, S, *shape)."""
        many = x.repeat_interleave(self._config.copies, 0)
        return self.layer.augment(many, self.layer.sample(len(many), generator)).view(len(x), -1, *x.shape[1:])

    def _update(self) -> Tensor:
        self._remember()
        context, config, progress = self._context, self._config, self.trunk.progress
        x, y = self._rule.batch(self._order, config.batch_size, progress)
        with context.meter.unit("update", x.shape, phase=Phase.TRAIN, examples=len(x) * config.copies):
            weights = dict(self.trunk.network.named_parameters())
            with torch.no_grad():
                copies = self._copies(x, self._noise)
            loss = self._rule.loss(averaged_outputs(self.trunk.network, weights, copies), y, progress).mean()
            prior = self._log_precision.detach().exp() / (2 * self._examples)
            squares = torch.stack([value.square().sum() for value in weights.values()]).sum()
            self.trunk.update(torch.autograd.grad(loss + prior * squares, tuple(weights.values())))
        return loss.detach()

    def _widen(self) -> Tensor:
        """One step of the ranges and of the precision."""
        context, config = self._context, self._config
        x, y = self._rule.batch(self._search, config.block, self.trunk.progress)
        with context.meter.unit("estimate", x.shape, phase=Phase.SEARCH, examples=len(x) * config.copies):
            copies = self._copies(x, self._noise)
            value = log_marginal_likelihood(self.trunk.network, copies, y, self._examples, self._log_precision.exp())
            self._adam.update(torch.autograd.grad(-value, self._learned))
        return value.detach()

"""Training rules for imbalanced classes: how batches are drawn, how examples are weighted, which loss is descended.

Axes: B examples, K classes, n_c learnable examples of class c.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.method import Context
from trainables.problems.problem import LEARNABLE, Batch, ByClass, Kind, Split, View

LEAST = 1e-12  # mean weight of a batch: all of its classes may weigh nothing


class Sampling(StrEnum):
    """How often an example of class c is drawn, with replacement and relative to those of other classes."""

    UNIFORM = "uniform"      # 1: classes come as often as they are
    BALANCED = "balanced"    # 1 / n_c: every class as often
    EFFECTIVE = "effective"  # (1 - beta) / (1 - beta^n_c), Cui et al. 2019


class Weighting(StrEnum):
    """What the loss of an example of class c is multiplied by."""

    NONE = "none"
    EFFECTIVE = "effective"  # (1 - beta) / (1 - beta^n_c), Cui et al. 2019


class Loss(StrEnum):
    """What is descended."""

    CROSS_ENTROPY = "cross_entropy"  # the problem's own loss
    LDAM = "ldam"                    # label-distribution-aware margins, Cao et al. 2019
    FOCAL = "focal"                  # Lin et al. 2017


class ImbalanceConfig(BaseModel):
    """A training rule in three parts that combine freely; the default is empirical risk minimisation.

    - Balanced resampling: `sampling: balanced`; delayed (DRS, Cao et al. 2019): with `delay`.
    - Class-balanced loss (Cui et al. 2019): `weighting: effective`, loss_b * w_{y_b} with w_c proportional to
      (1 - beta) / (1 - beta^n_c), the inverse of the effective number of examples; delayed (DRW): with `delay`. A
      batch's loss is the weighted mean, as in LDAM-DRW's code: its own weights divide. Cui et al. divide by their sum
      over classes; then the step shrinks with the imbalance, to a tenth at 200 to 1, as soon as weights begin.
    - LDAM (Cao et al. 2019): cross-entropy of z - scale Delta_y e_y, with margins Delta_c = margin (min n / n_c)^{1/4}
      on a cosine classifier, z = scale cos (see `cosine_head`), which the recipe's network is given.
    - Focal loss (Lin et al. 2017): (1 - p_y)^gamma times the cross-entropy.

    Args:
        sampling: how batches are drawn.
        weighting: of the examples' losses.
        loss: per example.
        beta: in [0, 1): 0 treats all classes alike, towards 1 it is 1 / n_c. Published: 0.9999.
        margin: >= 0, the smallest class's, in units of the cosine. Published: 0.5.
        scale: > 0, of the cosine classifier. Published: 30.
        gamma: >= 0, of the focal loss; 0 is the cross-entropy. Published for imbalanced classes: 1.
        delay: in [0, 1), share of the horizon before sampling and weighting begin; the loss is there from the start.
            Published: 0.8.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampling: Sampling = Sampling.UNIFORM
    weighting: Weighting = Weighting.NONE
    loss: Loss = Loss.CROSS_ENTROPY
    beta: float = Field(default=0.9999, ge=0, lt=1)
    margin: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    scale: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    gamma: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    delay: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _delays_something(self) -> Self:
        if self.delay > 0 and not self.weighs:
            raise UserError(
                "`delay` is of sampling and weighting; a loss is there from the start", f"delay: {self.delay:g}",
                "set `sampling` or `weighting`",
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        if self.sampling is not Sampling.EFFECTIVE and self.weighting is not Weighting.EFFECTIVE:
            refuse_idle(self, ("beta",), "effective numbers", "set `sampling` or `weighting` to `effective`")
        if self.loss is not Loss.LDAM:
            refuse_idle(self, ("margin", "scale"), "LDAM", "set `loss: ldam`")
        if self.loss is not Loss.FOCAL:
            refuse_idle(self, ("gamma",), "the focal loss", "set `loss: focal`")
        return self

    @property
    def empirical(self) -> bool:
        """Whether this is plain empirical risk minimisation."""
        parts = (self.sampling, self.weighting, self.loss)
        return parts == (Sampling.UNIFORM, Weighting.NONE, Loss.CROSS_ENTROPY)

    @property
    def weighs(self) -> bool:
        """Whether examples count differently by class, be it by how often they are drawn or by their loss."""
        return (self.sampling, self.weighting) != (Sampling.UNIFORM, Weighting.NONE)

    def require(self, problem: View) -> None:
        """Raises UserError where the rule needs classes that the problem does not have."""
        if self.empirical:
            return
        rule = "a rule for imbalanced classes needs a classification problem with examples by class"
        hint = "leave `imbalance` at its default"
        if problem.kind is not Kind.CLASSIFICATION:
            raise UserError(rule, f"a {problem.kind} problem", hint)
        if not isinstance(problem, ByClass):
            raise UserError(rule, f"a view without `class_sizes` and `draw_classes` ({type(problem).__name__})", hint)


class ImbalanceRule:
    """The rule at work: draws batches and gives losses. With the default settings it is `View.draw` and `View.loss`.

    `progress` is the share of the training that is over, in [0, 1]: what `delay` is compared with.

    Args:
        context: problem and device.
        config: the rule.
        splits: whose class sizes weights and margins are made of; none named means train + outer.

    Raises:
        UserError: the rule needs classes that the problem does not have.
    """

    def __init__(self, context: Context, config: ImbalanceConfig, *splits: Split) -> None:
        config.require(context.problem)
        self._problem, self._device, self._config = context.problem, context.device, config
        self._splits = splits or LEARNABLE
        self._drawn: dict[tuple[Split, ...], Tensor] = {}
        if not config.empirical:
            self._weigh(self._sizes(*self._splits))

    def _weigh(self, sizes: Tensor) -> None:
        """Weights and margins of classes with so many examples (K,)."""
        config = self._config
        weights = effective_weights(sizes, config.beta)
        self._weights = (weights / weights.max()).float().to(self._device)
        self._ones = torch.ones_like(self._weights)
        self._shifts = (config.scale * margins(sizes, config.margin)).float().to(self._device)

    def batch(self, generator: Generator, size: int, progress: float, *splits: Split) -> Batch:
        """Examples from the splits (none named: those of the rule), on the context's device."""
        chosen = splits or self._splits
        if self._resamples(progress):
            classes = torch.multinomial(self._frequencies(chosen), size, replacement=True, generator=generator)
            assert isinstance(self._problem, ByClass)
            x, y = self._problem.draw_classes(generator, classes, *chosen)
        else:
            x, y = self._problem.draw(generator, size, *chosen)
        return Batch(x.to(self._device), y.to(self._device))

    def count(self, labels: Tensor) -> None:
        """For who trains on some of the splits' examples: weights and margins are of the labels (n,) at hand."""
        if not self._config.empirical:
            self._weigh(torch.bincount(labels.cpu(), minlength=self._problem.outputs))

    def chances(self, labels: Tensor) -> Tensor:
        """For `rows`: of labelled examples at hand (n, ...), how often each is drawn, (n,) float64 on the CPU."""
        if self._config.sampling is Sampling.UNIFORM:
            return torch.ones(len(labels), dtype=torch.float64)
        y = labels.cpu()
        sizes = torch.bincount(y, minlength=self._problem.outputs)
        return sampling_weights(sizes, self._config.sampling, self._config.beta)[y]

    def rows(self, generator: Generator, chances: Tensor, size: int, progress: float) -> Tensor:
        """As `batch` draws, positions (size,) among the examples that `chances` belong to."""
        if self._resamples(progress):
            return torch.multinomial(chances, size, replacement=True, generator=generator)
        return torch.randint(len(chances), (size,), generator=generator)

    def loss(self, outputs: Tensor, y: Tensor, progress: float) -> Tensor:
        """What training descends: (B, K) -> (B,), not reduced."""
        config = self._config
        if config.loss is Loss.LDAM:
            losses = self._problem.loss(outputs - self._shifts * one_hot(y, outputs.shape[-1]), y)
        elif config.loss is Loss.FOCAL:
            losses = focal(self._problem.loss(outputs, y), config.gamma)
        else:
            losses = self._problem.loss(outputs, y)
        return self._weighted(losses, y, progress)

    def risk(self, outputs: Tensor, y: Tensor, progress: float) -> Tensor:
        """The problem's own loss, weighted as in training: what held-out examples are judged by, (B, K) -> (B,).

        Sampling and weights say which distribution of classes is meant, also of held-out examples; margins and the
        focal factor are about fitting and say nothing there.
        """
        return self._weighted(self._problem.loss(outputs, y), y, progress)

    def mean(self, values: Tensor, y: Tensor, progress: float) -> Tensor:
        """The weighted mean of values (B,) that are no losses, 0-d: within the range of the values."""
        return self._weighted(values, y, progress).mean()

    def _weighted(self, values: Tensor, y: Tensor, progress: float) -> Tensor:
        if self._config.weighting is Weighting.NONE:
            return values
        # By ones before the switch: an update is the same kind of work, so the same FLOPs, from the start to the end.
        weights = (self._weights if progress >= self._config.delay else self._ones)[y]
        return values * weights / weights.mean().clamp(min=LEAST)

    def _resamples(self, progress: float) -> bool:
        return self._config.sampling is not Sampling.UNIFORM and progress >= self._config.delay

    def _frequencies(self, splits: tuple[Split, ...]) -> Tensor:
        """How often each class is drawn from the splits, up to a factor; (K,) float64 on the CPU."""
        if splits not in self._drawn:
            sizes = self._sizes(*splits)
            self._drawn[splits] = sizes * sampling_weights(sizes, self._config.sampling, self._config.beta)
        return self._drawn[splits]

    def _sizes(self, *splits: Split) -> Tensor:
        assert isinstance(self._problem, ByClass)
        return self._problem.class_sizes(*splits)


def sampling_weights(sizes: Tensor, sampling: Sampling, beta: float) -> Tensor:
    """Of an example of each class, up to a factor; (K,) float64, zero where a class has no example."""
    if sampling is Sampling.EFFECTIVE:
        return effective_weights(sizes, beta)
    weights = torch.ones_like(sizes, dtype=torch.float64)
    return torch.where(sizes > 0, weights if sampling is Sampling.UNIFORM else 1 / sizes.double(), 0.0)


def example_weights(labels: Tensor, classes: int, config: ImbalanceConfig) -> Tensor | None:
    """What labelled examples count for who fits them all at once: how often they are drawn times what they weigh.

    That is the rule after its delay: a fit in one piece is the end of a training. (n,) float64 with a mean of 1; None
    where all count alike.
    """
    if not config.weighs:
        return None
    sizes = torch.bincount(labels.cpu(), minlength=classes)
    weights = sampling_weights(sizes, config.sampling, config.beta)
    if config.weighting is Weighting.EFFECTIVE:
        weights = weights * effective_weights(sizes, config.beta)
    each = weights[labels.cpu()]
    return each / each.mean()


def effective_weights(sizes: Tensor, beta: float) -> Tensor:
    """(1 - beta) / (1 - beta^n_c), one over the effective number (Cui et al. 2019); zero where n_c is. (K,) float64."""
    # By expm1, for beta^n next to 1 loses all digits of its distance.
    log_beta = torch.tensor(beta, dtype=torch.float64).log()
    return torch.where(sizes > 0, (1 - beta) / -torch.expm1(sizes.clamp(min=1) * log_beta), 0.0)


def margins(sizes: Tensor, largest: float) -> Tensor:
    """largest (min n / n_c)^{1/4} (Cao et al. 2019), (K,) float64; the minimum is over classes that have examples."""
    present = sizes[sizes > 0]
    smallest = present.min() if len(present) else torch.ones((), dtype=torch.int64)
    return largest * (smallest / sizes.clamp(min=smallest).double()) ** 0.25


def focal(cross_entropy: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma CE (Lin et al. 2017) with p = exp(-CE), (B,) -> (B,)."""
    # Where p rounds to 1 the power has no finite derivatives below gamma = 2; the clamp has none at all there.
    doubt = (-torch.expm1(-cross_entropy)).clamp(min=torch.finfo(cross_entropy.dtype).eps)
    return doubt**gamma * cross_entropy

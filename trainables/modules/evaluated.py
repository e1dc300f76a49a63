"""What a descriptor is worth on a task: leave-one-out losses of ridge heads on its features.

Axes: M descriptors, K entries, n examples, d features, c outputs, L penalties. Descriptors, targets and results live
on the CPU; features on whatever device the network does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tracking.errors import UserError
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.ridge import loo_residuals_on_grid


@dataclass(frozen=True, slots=True)
class Targets:
    """What the head has to predict.

    Args:
        values: (n, c) float64; one-hot for classes.
        labels: (n,) class indices, or None for regression.
        weights: (n,) > 0 with a mean of 1, how much each example counts; None means all alike.
    """

    values: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None

    @classmethod
    def of_labels(cls, labels: Tensor, classes: int, weights: Tensor | None = None) -> Targets:
        """Classes 0 .. classes - 1. A class without any label is never predicted, which is no error.

        Raises:
            UserError: fewer labels than classes, or a label outside the classes.
        """
        if len(labels) < classes:
            raise UserError(
                "a task needs at least as many labels as classes", f"{len(labels)} labels, {classes} classes"
            )
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise UserError(f"labels must lie in 0 .. {classes - 1}", f"{int(labels.min())} .. {int(labels.max())}")
        return cls(one_hot(labels.long(), classes).double(), labels.long(), weights)

    @classmethod
    def of_values(cls, values: Tensor) -> Targets:
        """Real targets (n,) or (n, c).

        Raises:
            UserError: a target that is not finite.
        """
        if not bool(torch.isfinite(values).all()):
            raise UserError("regression targets must be finite", "NaN or infinity")
        return cls(values.double().reshape(len(values), -1))

    def __len__(self) -> int:
        return len(self.values)

    def at(self, rows: Tensor | None) -> Targets:
        """The targets of some examples. Of weighted ones each class keeps its share, however many of its are there."""
        if rows is None:
            return self
        labels = None if self.labels is None else self.labels[rows]
        if self.weights is None or self.labels is None or labels is None:
            return Targets(self.values[rows], labels, None if self.weights is None else self.weights[rows])
        classes = self.values.shape[-1]
        of, drawn = (torch.bincount(y, minlength=classes) for y in (self.labels, labels))
        weights = self.weights[rows] * (of.double() / drawn.clamp(min=1))[labels]
        return Targets(self.values[rows], labels, weights / weights.mean())

    def classes(self) -> int | None:
        """That have labels; None for regression."""
        return None if self.labels is None else len(set(self.labels.tolist()))

    def effective_number(self) -> float:
        """(sum w)^2 / sum w^2 (Kish 1965): how many examples of equal weight would spread a mean as little."""
        if self.weights is None:
            return float(len(self))
        return float(self.weights.sum().square() / self.weights.square().sum())

    def weighted(self, values: Tensor) -> Tensor:
        """Values of the examples (..., n), each times its weight: their plain mean is the weighted one."""
        return values if self.weights is None else values * self.weights.to(values)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Descriptors and what each is worth, at the best penalty of the grid for each.

    Args:
        descriptors: (M, K) in [0, 1].
        losses: (M, n) squared norm of each example's leave-one-out residual, times its weight.
        log_penalty: (M,) where the risk is lowest.
        accuracy: (M,) of leave-one-out predictions, weighted where examples are; None for regression.
    """

    descriptors: Tensor
    losses: Tensor
    log_penalty: Tensor
    accuracy: Tensor | None

    @property
    def risk(self) -> Tensor:
        """(M,) mean leave-one-out loss."""
        return self.losses.mean(-1)

    def __len__(self) -> int:
        return len(self.descriptors)


def joined(parts: list[Evaluated]) -> Evaluated:
    """Evaluations of the same examples, one after the other."""
    accuracies = [part.accuracy for part in parts if part.accuracy is not None]
    assert len(accuracies) in (0, len(parts)), "classification and regression do not mix"
    return Evaluated(
        torch.cat([part.descriptors for part in parts]),
        torch.cat([part.losses for part in parts]),
        torch.cat([part.log_penalty for part in parts]),
        torch.cat(accuracies) if accuracies else None,
    )


def merged(parts: list[Evaluated]) -> Evaluated:
    """As `joined`, but of equal descriptors only the first is kept."""
    every = joined(parts)
    first: dict[tuple[float, ...], int] = {}
    for index, row in enumerate(every.descriptors.tolist()):
        first.setdefault(tuple(row), index)
    kept = torch.tensor(list(first.values()))
    accuracy = None if every.accuracy is None else every.accuracy[kept]
    return Evaluated(every.descriptors[kept], every.losses[kept], every.log_penalty[kept], accuracy)


@dataclass(frozen=True, slots=True)
class Judge:
    """What every search asks: how good are these descriptors?

    Args:
        features: of the task.
        targets: of all examples.
        log_penalties: (L,) grid of the ridge head, see `ridge`.
    """

    features: CountedFeatures
    targets: Targets
    log_penalties: Tensor

    def evaluate(self, descriptors: Tensor, rows: Tensor | None = None) -> Evaluated:
        """Every descriptor at every penalty, of which the best is kept.

        The minimum over a smooth curve of few penalties is a little optimistic, for all descriptors alike.

        Args:
            descriptors: (M, K) in [0, 1].
            rows: (r,) examples to use; None for all.

        Raises:
            UserError: features of a descriptor that are constant or not finite.
        """
        used, calls = self.targets.at(rows), self.features
        return joined([
            _score(descriptors[piece], calls.plain(descriptors[piece], rows), used, self.log_penalties)
            for piece in calls.pieces(len(descriptors), rows)
        ])


def _score(descriptors: Tensor, features: Tensor, targets: Targets, log_penalties: Tensor) -> Evaluated:
    values = targets.values.to(features.device)
    residuals = loo_residuals_on_grid(  # (M, L, n, c)
        features, values, log_penalties.to(features.device), targets.weights
    )
    losses = targets.weighted(residuals.square().sum(-1))  # (M, L, n)
    best, every = losses.mean(-1).argmin(-1), torch.arange(len(descriptors), device=features.device)
    accuracy = None
    if targets.labels is not None:
        predicted = (values - residuals[every, best]).argmax(-1).cpu()
        accuracy = targets.weighted((predicted == targets.labels).double()).mean(-1)
    return Evaluated(descriptors, losses[every, best].cpu(), log_penalties[best.cpu()], accuracy)

"""The target is how far an input was transformed: invariance to it harms, and the answer is a number."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from tracking.errors import UserError
from trainables.problems.bank import SWITCHES, wider
from trainables.problems.dataset import Array, Dataset, WrapperConfig, stream
from trainables.problems.nuisance import transformed
from trainables.problems.problem import Action, Kind, Truth
from trainables.problems.transform_label import label_action


class Config(WrapperConfig):
    """By how much was one transform applied? Regression; the original labels are forgotten.

    Strengths are uniform in [-reach, reach] (actions without sign: [0, reach]), fixed per row by the seed; a pool row
    keeps its own in every split. The target is strength / reach, so that a squared error of 1/3 (without sign 1/12) is
    what the mean of the targets has. The truth's `harmful` is one standard deviation of the strengths.

    Args:
        operation: an action of the transform bank that has strengths, so no flip.
        reach: physical half-width, at most the bank's limit; None is that limit.
    """

    name: ClassVar[str] = "transform_target"

    operation: str
    reach: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        dataset.require_no_tail(self.name)
        action = label_action(self.operation, dataset)
        reach = action.limit if self.reach is None else self.reach
        self._check(action, reach)
        pool_y, test_y = (
            _shares(len(rows), action, stream(self.name, self.operation, part, seed))
            for part, rows in (("pool", dataset.pool_y), ("test", dataset.test_y))
        )

        def moved(x: Array, y: Array) -> Array:
            return transformed(x, [action], {action.name: torch.from_numpy(y[:, 0]) * (reach / action.limit)})

        before = dataset.truth or Truth()
        spread = reach / (3 if action.signed else 12) ** 0.5
        return replace(
            dataset.map_pool(lambda x: moved(x, pool_y)),
            pool_y=pool_y,
            test_x=moved(dataset.test_x, test_y),
            test_y=test_y,
            clean_x=None if dataset.clean_x is None else moved(dataset.clean_x, test_y),
            kind=Kind.REGRESSION,
            outputs=1,
            classes=(),
            balanced=False,
            truth=Truth(before.invariant, {self.operation: spread}),
        )

    def _check(self, action: Action, reach: float) -> None:
        if action.name in SWITCHES:
            raise UserError("a target is the strength of an action", f"`{action.name}` is on or off",
                            "use `transform_label` with the values 0 and 1")
        if reach > action.limit:
            raise UserError(
                f"the reach of `{action.name}` must lie in (0, {action.limit:g}] {action.unit}".rstrip(), reach,
                wider(action, reach),
            )


def _shares(count: int, action: Action, generator: np.random.Generator) -> Array:
    """(count, 1) float32, uniform in [-1, 1], or [0, 1] for an action without sign."""
    drawn = generator.random((count, 1))
    return (2 * drawn - 1 if action.signed else drawn).astype(np.float32)

"""Few labels: n per class in total, for training, outer learning and selection together; of real targets n in all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from tracking.errors import UserError
from trainables.problems.dataset import Dataset, WrapperConfig, stream
from trainables.problems.problem import Kind


class Config(WrapperConfig):
    """n labels per class in total: every label that a method or its tuning may see; the test set stays whole.

    Args:
        shots: labelled examples per class; at least 3, since train, outer and select hold every class. Real targets
            are one class.
    """

    name: ClassVar[str] = "few_shot"

    shots: int = Field(ge=3)

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        if dataset.kind is Kind.EPISODIC:
            raise UserError("few_shot counts labels per class", f"a {dataset.kind} problem")
        dataset.require_no_tail(self.name)
        one = dataset.kind is Kind.REGRESSION
        groups = np.zeros(len(dataset.pool_y), np.int64) if one else dataset.pool_y
        names = ("real targets",) if one else dataset.classes
        sizes = np.bincount(groups, minlength=1 if one else dataset.outputs)
        short = [  # classes need no names
            f"{names[k] if k < len(names) else k} ({n})" for k, n in enumerate(sizes) if n < self.shots
        ]
        if short:
            raise UserError(
                f"every class needs at least shots = {self.shots} images in the pool",
                ", ".join(short),
                f"set shots to {sizes.min()} or fewer" if sizes.min() >= 3 else "add images to these classes",
            )
        generator = stream("few_shot", seed)
        by_class = [np.flatnonzero(groups == k) for k in range(len(sizes))]
        kept = [generator.permutation(rows)[: self.shots] for rows in by_class]
        return dataset.rows(np.sort(np.concatenate(kept)))

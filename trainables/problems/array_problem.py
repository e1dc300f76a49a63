"""A problem over mapped arrays: classification and regression.

Axes: B batch, N rows of a split, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.problems.array_view import ArrayView, Description, Rows, as_input
from trainables.problems.problem import LEARNABLE, Batch, Split, Truth

if TYPE_CHECKING:
    from tracking.cost import Meter


class ArrayProblem(ArrayView):
    """A problem in full: the learnable part, and what only the harness reads.

    Args:
        rows: the four splits.
        description: what everybody may know.
        truth: the planted answer, where there is one.
        notes: what the user should know about the data.
        clean: inputs before planted nuisances, row for row, of the splits that have any: test's for the harness,
            train's and outer's for methods that are told. A split that is not named is as it was.
        nuisances: action -> physical half-width that was planted.
    """

    __slots__ = ("_clean", "_rows", "_truth", "notes", "nuisances")

    def __init__(
        self,
        rows: Mapping[Split, Rows],
        description: Description,
        truth: Truth | None = None,
        notes: tuple[str, ...] = (),
        clean: Mapping[Split, NDArray[Any]] | None = None,
        nuisances: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(rows, description)
        self._rows = {split: rows[split] for split in Split}
        self._truth, self._clean = truth, dict(clean or {})
        self.notes, self.nuisances = notes, dict(nuisances or {})

    @property
    def truth(self) -> Truth | None:
        return self._truth

    def size(self, *splits: Split) -> int:
        return sum(len(self._rows[split].y) for split in splits or LEARNABLE)

    def examples(self, split: Split, limit: int | None = None) -> Batch:
        """The first `limit` examples in a fixed order (random with respect to class)."""
        x, y = self._rows[split]
        return Batch(as_input(np.array(x[:limit])), torch.from_numpy(np.array(y[:limit])))

    @property
    def planted(self) -> bool:
        """Whether test inputs are kept as they were before a planted nuisance."""
        return Split.TEST in self._clean

    def untouched(self, per_class: int) -> Batch:
        """Test examples as they were before planted nuisances, the first `per_class` of each class; by class."""
        x, y = self._rows[Split.TEST]
        chosen = np.concatenate([np.flatnonzero(y == label)[:per_class] for label in range(self.outputs)])
        inputs = self._clean.get(Split.TEST, x)
        return Batch(as_input(np.array(inputs[chosen])), torch.from_numpy(np.array(y[chosen])))

    def view(self, meter: Meter | None = None) -> ArrayView:
        return ArrayView(self._learnable, self._description, meter)

    def originals(self) -> ArrayView | None:
        """The view over inputs as they were before planted nuisances, row for row; counts nothing on any meter.

        For methods that are told what was planted (`MethodConfig.told`). None where nothing was planted in them.
        """
        if not all(split in self._clean for split in LEARNABLE):
            return None
        rows = {split: Rows(self._clean[split], self._rows[split].y) for split in LEARNABLE}
        return ArrayView(rows, self._description)

"""Augmenting small classes: which examples of a batch are replaced, and from when on.

Axes: B examples, K classes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.method import Context, NetworkBuilder
from trainables.modules.recipe import RecipeConfig
from trainables.problems.problem import LEARNABLE, ByClass, Kind, View


class Cutoff(StrEnum):
    """How the chance of replacement falls with the class size n, n_min the smallest that occurs."""

    HARD = "hard"  # 1 up to K, 0 above
    RAMP = "ramp"  # max((K - n) / (K - n_min), 0), the published code's


class TailRecipe(RecipeConfig):
    """The shared recipe, and which examples an augmentation acts on (Algorithm 1 of Zhou et al. 2022).

    An example of class c is replaced by an augmented copy of itself with the chance `replaced` times that of the
    cutoff. The published code draws the copies from other images, and leaves K unused in the published settings.

    Args:
        cutoff: K; classes with more examples (of train and outer) are left alone. None: all classes alike.
        cutoff_shape: what happens up to K.
        replaced: of the examples that the cutoff chooses.
        start: share of the horizon before which nothing is augmented.
    """

    cutoff: int | None = Field(default=None, ge=1)
    cutoff_shape: Cutoff = Cutoff.HARD
    replaced: float = Field(default=1.0, ge=0, le=1)
    start: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _ramp_has_an_end(self) -> Self:
        if self.cutoff_shape is Cutoff.RAMP and self.cutoff is None:
            raise UserError("a ramp ends at a `cutoff`", "none", "set `cutoff`, e.g. 100")
        return self

    @property
    def everything(self) -> bool:
        """Whether every example is augmented, always."""
        return self.cutoff is None and self.replaced == 1 and self.start == 0

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where there are no classes to choose from, or the cutoff lies outside of their sizes."""
        super().fits(problem, network)
        if self.everything:
            return
        if problem.kind is not Kind.CLASSIFICATION or not isinstance(problem, ByClass):
            raise UserError("`cutoff`, `replaced` and `start` choose examples by class", f"a {problem.kind} problem",
                            "leave them out")
        if self.cutoff is None:
            return
        sizes = problem.class_sizes(*LEARNABLE)
        least, most = int(smallest(sizes)), int(sizes.max())
        if not least <= self.cutoff < most or (self.cutoff_shape is Cutoff.RAMP and self.cutoff == least):
            raise UserError(
                f"`cutoff` must tell the classes apart, whose sizes lie between {least} and {most}", self.cutoff,
                "cutoff: null augments all classes",
            )


class Mixing:
    """Chooses the examples of a batch that are replaced.

    Args:
        chances: of an example of each class (K,), in [0, 1].
        start: share of the training before which none is chosen.
    """

    def __init__(self, chances: Tensor, start: float) -> None:
        self._chances, self._start = chances, start

    @classmethod
    def of(cls, context: Context, recipe: TailRecipe) -> Mixing | None:
        """What the recipe asks for on this problem; None where everything is augmented."""
        if recipe.everything:
            return None
        recipe.fits(context.problem, context.network)
        if recipe.cutoff is None:
            return cls(torch.full((context.problem.outputs,), recipe.replaced), recipe.start)
        assert isinstance(context.problem, ByClass)
        return cls(
            recipe.replaced * kept(context.problem.class_sizes(*LEARNABLE), recipe.cutoff, recipe.cutoff_shape),
            recipe.start,
        )

    def rows(self, y: Tensor, progress: float, generator: Generator) -> Tensor:
        """Positions in the batch (B,) that are replaced, int64 on the CPU; the generator moves on by B at any time."""
        u = torch.rand(len(y), generator=generator, device=generator.device).cpu()
        if progress < self._start:
            return torch.zeros(0, dtype=torch.int64)
        return (u < self._chances[y.cpu()]).nonzero()[:, 0]


def kept(sizes: Tensor, cutoff: int, shape: Cutoff) -> Tensor:
    """The cutoff's chance for each class (K,)."""
    if shape is Cutoff.HARD:
        return (sizes <= cutoff).float()
    return ((cutoff - sizes) / (cutoff - smallest(sizes))).clamp(0, 1).float()


def smallest(sizes: Tensor) -> Tensor:
    """Of the sizes (K,) that are not 0: classes without examples take no part; 0-d."""
    return sizes[sizes > 0].min()

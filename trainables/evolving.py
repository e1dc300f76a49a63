"""Methods whose configurations are bred: partial trainings in synchronous generations, losers go on from winners."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from trainables.method import MethodConfig


class EvolvingConfig(MethodConfig):
    """A configuration tells a training from its beginning: trial g of a line goes on from the state that trial g - 1
    left and adds one generation, and the configuration of the last one, trained from scratch, is the whole schedule.

    Args:
        population: members of a generation at most; as many as the study's budget holds.
        generations: that one training is cut into.
    """

    population: int = Field(default=32, ge=1)
    generations: int = Field(default=8, ge=1)

    @property
    def given(self) -> bool:
        """Whether it tells a whole schedule already: then there is nothing to breed, and it is trained as it stands."""
        raise NotImplementedError

    def begun(self, generator: np.random.Generator, member: int) -> Self:
        """The first generation of a member, counted from 0."""
        raise NotImplementedError

    def continued(self, generator: np.random.Generator, explores: bool) -> Self:
        """One generation more: as the last one, or mutated."""
        raise NotImplementedError

    def whole(self) -> Self:
        """What trains the full horizon by the generations that there are."""
        raise NotImplementedError

"""Training without augmentation: the floor of every comparison."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from spaces.domain import Space
from trainables.method import Context
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised


class Config(RecipeConfig):
    """The shared recipe and nothing else.

    Args:
        length: of the training in horizons: what others spend on a search, as extra epochs.
    """

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    control: ClassVar[bool] = True

    length: float = Field(default=1.0, gt=0)

    def build(self, context: Context) -> Supervised:
        return Supervised(replace(context, horizon=max(1, round(self.length * context.horizon))), self)

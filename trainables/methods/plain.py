"""Training without augmentation: the floor of every comparison."""

from __future__ import annotations

from typing import ClassVar

from spaces.domain import Space
from trainables.method import Context
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised


class Config(RecipeConfig):
    """The shared recipe and nothing else."""

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    control: ClassVar[bool] = True

    def build(self, context: Context) -> Supervised:
        return Supervised(context, self)

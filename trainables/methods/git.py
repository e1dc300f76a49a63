"""Generative invariance transfer (Zhou et al. 2022): what varies all classes is learned, and varies the small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Choice, Space
from tracking.errors import UserError
from trainables.artefact import ArtefactSpec
from trainables.method import Context
from trainables.modules.generators.choice import NAME, GeneratorChoice
from trainables.modules.generators.takeaway import export
from trainables.modules.generators.transfer import load_transfer
from trainables.modules.imbalance import ImbalanceConfig, Sampling
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.modules.supervised import Supervised
from trainables.modules.tail_augmentation import Mixing, TailRecipe
from trainables.problems.spec import ProblemSpec


class Config(TailRecipe):
    """Phase 1 is the artefact `generator`; phase 2 trains with classes resampled, and tail examples replaced.

    Args:
        generator: which T is learned, and how long.
        imbalance: delayed resampling, as published; with `replaced: 0` the method is that alone, bit for bit.
        start: of the generated images, in the published code an epoch after resampling begins; here together.
    """

    space: ClassVar[Space] = Space({**RECIPE_DOMAINS, "replaced": Choice(options=(0.25, 0.5, 1.0))})
    images: ClassVar[bool] = True

    generator: GeneratorChoice = GeneratorChoice()
    imbalance: ImbalanceConfig = ImbalanceConfig(sampling=Sampling.BALANCED, delay=0.6)
    start: float = Field(default=0.6, ge=0, lt=1)

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {**super().needs(problem, data_seed), NAME: self.generator.spec(problem, data_seed)}

    def build(self, context: Context) -> Git:
        """Raises UserError where the generator is missing or of another shape, or the cutoff fits no class."""
        return Git(context, self)


class Git(Supervised):
    """The shared loop, with examples of small classes through the learned generator."""

    def __init__(self, context: Context, config: Config) -> None:
        if NAME not in context.artefacts:
            raise UserError("`git` needs a learned generator", f"no artefact `{NAME}`",
                            "run it in a sweep, which trains it first, or put it into `Context.artefacts`")
        self._state = context.artefacts[NAME].state
        self._transfer = load_transfer(self._state, context.problem.shape, context.device)
        super().__init__(context, config, self.sample, Mixing.of(context, config))

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._transfer.sample(x, generator)

    def describe(self) -> Mapping[str, float]:
        """What the generator does; `generator/collapsed` is 1 where it does nothing, or does not keep the image."""
        return {**self._transfer.describe(), "generator/collapsed": float(self._transfer.collapsed() is not None)}

    def warnings(self) -> Sequence[str]:
        said = self._transfer.collapsed()
        return () if said is None else (said,)

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `generators.takeaway`."""
        return export(self._context, self._transfer, self._state, folder)

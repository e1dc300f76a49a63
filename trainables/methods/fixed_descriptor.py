"""One descriptor for a pre-trained extractor, given from outside: controls, and what Optuna searches over.

All on and all off, the oracle's and random descriptors are this method with `settings`; without them the entries are
ordinary hyperparameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from spaces.descriptors import Factor
from spaces.domain import Float, Space
from tracking.cost import Phase
from trainables.artefact import ArtefactSpec
from trainables.method import Context, Method, NetworkBuilder, Role
from trainables.modules.amortised import NAME, AmortisedTask
from trainables.modules.closed_form import ClosedForm, ClosedFormConfig, ClosedFormSearch, Selected, best_of, checked
from trainables.modules.descriptor_search import SearchConfig
from trainables.problems.problem import Kind, View
from trainables.problems.spec import ProblemSpec


class Config(ClosedFormConfig):
    """A descriptor, and how many of its neighbours are tried with it.

    Entries that the extractor does not have (colour on grey images) have no effect.

    Args:
        extractor: which one.
        rotation, translation, scale, shear, brightness, contrast, blur, colour: the entries, in [0, 1].
        population: descriptors that one trial evaluates: the given one, and others within `radius` of it; the best by
            leave-one-out is taken. One evaluation is far cheaper than a trial.
        radius: half-width of the cube that the others are drawn from, clipped to [0, 1].
        settings: of the judgement; only its penalties are used.
        among: how many descriptors this one was chosen among before, which a risk bound has to pay for too.
    """

    space: ClassVar[Space] = Space({factor.value: Float(low=0.0, high=1.0) for factor in Factor})

    rotation: float = Field(default=0.5, ge=0, le=1)
    translation: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=0.5, ge=0, le=1)
    shear: float = Field(default=0.5, ge=0, le=1)
    brightness: float = Field(default=0.5, ge=0, le=1)
    contrast: float = Field(default=0.5, ge=0, le=1)
    blur: float = Field(default=0.5, ge=0, le=1)
    colour: float = Field(default=0.5, ge=0, le=1)
    population: int = Field(default=1, ge=1)
    radius: float = Field(default=0.25, gt=0, le=1)
    settings: SearchConfig = SearchConfig()
    among: int = Field(default=1, ge=1)

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError as its base does, and where `settings` has no penalties for such targets."""
        super().fits(problem, network)
        self.settings.require(real=problem.kind is Kind.REGRESSION)

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {NAME: self.extractor.spec(problem, data_seed)}

    def build(self, context: Context) -> Method:
        """Raises UserError where the extractor does not fit the task."""
        self.require_rule(context.problem)

        def select(task: AmortisedTask, phase: Phase) -> Selected:
            found = best_of(task, self._population(task, context.generator(Role.SEARCH)), self.settings, phase)
            return replace(found, choices=found.choices * self.among)

        if self.population == 1:
            return ClosedForm(context, self, select)
        return ClosedFormSearch(context, self, select, Phase.SEARCH, self._frozen)

    def _population(self, task: AmortisedTask, generator: Generator) -> Tensor:
        """(population, K), the given one first."""
        centre = checked(task, {f.value: getattr(self, f.value) for f in task.extractor.family.factors})
        moves = 2 * torch.rand(self.population - 1, len(centre), generator=generator) - 1
        return torch.cat((centre[None], (centre + self.radius * moves).clamp(0, 1)))

    def _frozen(self, entries: Mapping[str, float]) -> Config:
        return self.model_copy(update={**entries, "population": 1, "among": self.population * self.among})

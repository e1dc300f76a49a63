"""A task's invariances and head in seconds: descriptor search on a pre-trained family of extractors.

    min_{i in [0,1]^K, lambda} 1/n sum_j w_j || y_j - yhat_j(i, lambda) ||^2,   yhat_j by the ridge head without j,
    w_j = 1 but under a rule for imbalanced classes,

then the one-standard-error rule towards the default descriptor, and the head in closed form. The idea of the amortised
family is HyperInvariances (Chavhan et al. 2022, 2023; the row `hyperinvariances`); pre-training, objective and rule are
ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from spaces.domain import Float, Space
from tracking.cost import Phase, PhaseCost
from tracking.errors import UserError
from trainables.artefact import ArtefactSpec
from trainables.method import Context, Method, NetworkBuilder, Role
from trainables.modules.amortised import NAME, AmortisedTask
from trainables.modules.closed_form import ClosedFormConfig, ClosedFormSearch, Selected, best_of, checked
from trainables.modules.descriptor_search import Found, SearchConfig, SearchKind, search
from trainables.problems.problem import Kind, View
from trainables.problems.spec import ProblemSpec


class Config(ClosedFormConfig):
    """How the descriptor is searched.

    Args:
        extractor: which one.
        search: how descriptors are proposed; `auto` is a small menu below 40 labels and the gradient from there on.
        errors: width of the one-standard-error rule.
        false_alarms: how often labels that mean nothing may make the choice leave the default.
        default: what is taken unless the labels say otherwise, by name; what is not named is `default_entry`.
        default_entry: 1 is the extractor that ignores all it was trained to ignore.
        settings: of the search.
        descriptor: what a search found; then there is no search.
        among: how many descriptors that one was chosen among, whatever the labels: what the risk bound pays for.
    """

    space: ClassVar[Space] = Space({
        "false_alarms": Float(low=0.01, high=1.0, log=True),
        "errors": Float(low=0.0, high=2.0),
    })

    search: SearchKind = SearchKind.AUTO
    errors: float = Field(default=1.0, ge=0)
    false_alarms: float = Field(default=0.1, ge=0, le=1)
    default: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    default_entry: float = Field(default=1.0, ge=0, le=1)
    settings: SearchConfig = SearchConfig()
    descriptor: dict[str, float] | None = None
    among: int = Field(default=1, ge=1)

    def named(self) -> tuple[Iterable[str], Mapping[str, float] | None]:
        return self.default, self.descriptor

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError as its base does, and where `settings` has what is tuned, or what these targets overrule."""
        super().fits(problem, network)
        self.settings.require(real=problem.kind is Kind.REGRESSION)
        given = self.settings.model_dump(include={"errors", "false_alarms"})
        for name, usual in SearchConfig().model_dump(include=set(given)).items():
            if given[name] != usual:
                raise UserError(
                    "what is tuned is set beside `settings`, not in it", f"settings.{name}: {given[name]:g}",
                    f"write `{name}: {given[name]:g}` one level up",
                )

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {NAME: self.extractor.spec(problem, data_seed)}

    def build(self, context: Context) -> Method:
        """Raises UserError where the extractor does not fit the task, or a descriptor does not fit the extractor."""
        self.require_rule(context.problem)
        return Descriptor(context, self)


class Descriptor(ClosedFormSearch):
    """One slice: propose descriptors, judge each by leave-one-out, choose one, fit the head."""

    def __init__(self, context: Context, config: Config) -> None:
        phase = Phase.SEARCH if config.descriptor is None else Phase.TRAIN
        super().__init__(context, config, self._choose, phase, self._frozen)
        self._config = config
        self._generator = context.generator(Role.SEARCH)
        self.result: Found | None = None
        self._fixed = None if config.descriptor is None else checked(self.task, config.descriptor)
        named = dict.fromkeys((f.value for f in self.task.extractor.family.factors), config.default_entry)
        self._default = checked(self.task, {**named, **config.default})

    def warnings(self) -> Sequence[str]:
        """Beside what its base says: that there were too few labels to test the default."""
        if self._certainty.get("enough_labels", 1.0) or self._config.false_alarms == 1:
            return super().warnings()
        few = "too few labels to say whether another descriptor is better than the default, which was kept"
        return [few, *super().warnings()]

    def _choose(self, task: AmortisedTask, phase: Phase) -> Selected:
        config = self._config
        if self._fixed is not None:  # replay: only the head's penalty is chosen
            return replace(best_of(task, self._fixed[None], config.settings, phase), choices=config.among)
        settings = config.settings.model_copy(
            update={"errors": config.errors, "false_alarms": config.false_alarms}
        )
        shape = (len(task.targets), len(self._default))
        with self._context.meter.unit(f"search {config.search}", shape, phase=phase):
            found = search(task.features, task.targets, config.search, self._default, self._generator, settings)
        self._context.meter.charge(phase, PhaseCost(examples=found.gradient_pairs))  # known only now
        self.result, names = found, [factor.value for factor in task.extractor.family.factors]
        choice, sure = found.choice, certainty(found, names)
        return Selected(choice.descriptor, choice.log_penalty, notes(found), found.family, sure)

    def _frozen(self, entries: Mapping[str, float]) -> Config:
        return self._config.model_copy(update={"descriptor": dict(entries), "among": self.choices})


def certainty(found: Found, entries: Sequence[str]) -> dict[str, float]:
    """How sure the choice is: the test against the default, errors over examples, and what the data cannot tell apart.

    `enough_labels` is 0 where there were too few for the test: then p is 1.

    `low/NAME` and `high/NAME` are the ends of an entry among the candidates; 0 and 1 say nothing of that entry alone.
    """
    choice, names = found.choice, ("risk", "standard_error", "behind", "behind_error", "candidates")
    ends = {
        f"{end}/{entry}": value for end in ("low", "high")
        for entry, value in zip(entries, getattr(choice, end).tolist(), strict=True)
    }
    tested = {"p_value": found.evidence.p_value, "enough_labels": float(found.evidence.enough)}
    return {**tested, **{name: float(getattr(choice, name)) for name in names}, **ends}


def notes(found: Found) -> dict[str, float]:
    """What the record keeps of a search."""
    choice, names = found.choice, ("risk", "standard_error", "best_risk", "behind", "behind_error", "candidates")
    numbers = {f"search/{name}": float(getattr(choice, name)) for name in names}
    return {
        **numbers, "search/forward_pairs": float(found.forward_pairs),
        "search/gradient_pairs": float(found.gradient_pairs), "search/p_value": found.evidence.p_value,
        "search/enough_labels": float(found.evidence.enough),
        "search/evaluated": float(len(found.evaluated)),
        "search/width": float(torch.mean(choice.high - choice.low)),
    }

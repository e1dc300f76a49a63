"""A method in one slice: choose a descriptor, and fit the head in closed form; seconds in all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from tracking.cost import Phase
from tracking.errors import UserError
from trainables.method import Context, MethodConfig, NetworkBuilder, Slice, State
from trainables.modules.amortised import AmortisedTask, ExtractorChoice, Head, complete
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.descriptor_search import SearchConfig
from trainables.modules.drift import drift, inert
from trainables.modules.evaluated import Judge
from trainables.modules.imbalance import ImbalanceConfig, Loss
from trainables.modules.report_card import Chosen, bounded, export
from trainables.modules.risk_bound import RiskBound
from trainables.modules.state import require_like
from trainables.problems.problem import Batch, View


class ClosedFormConfig(MethodConfig):
    """Settings of a head in closed form on a pre-trained extractor.

    Args:
        extractor: which one.
        imbalance: sampling and weighting become weights of the examples, in the head, in the leave-one-out risk that a
            descriptor is chosen by, and in the risk bound. A fit in one piece is the end of a training, so `delay` is
            over. Losses of one's choice are refused: the head's is the squared error.
    """

    images: ClassVar[bool] = True
    scales_with_horizon: ClassVar[bool] = False
    descends: ClassVar[bool] = False
    fixes: ClassVar[Mapping[str, Any]] = {}  # settings of the extractor that the row is about

    extractor: ExtractorChoice = ExtractorChoice()
    imbalance: ImbalanceConfig = ImbalanceConfig()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where the extractor's source, a descriptor or the rule for classes does not fit."""
        super().fits(problem, network)
        self.require_rule(problem)
        self.extractor.require(problem, *self.named(), self.fixes)

    def named(self) -> tuple[Iterable[str], Mapping[str, float] | None]:
        """Entries that settings name, and a whole descriptor that is given."""
        return (), None

    def require_rule(self, problem: View) -> None:
        """The same, for who builds without asking whether it fits."""
        self.imbalance.require(problem)
        if self.imbalance.loss is not Loss.CROSS_ENTROPY:
            raise UserError(
                "a head in closed form has the squared error for its loss", f"imbalance.loss: {self.imbalance.loss}",
                "set `sampling` or `weighting` instead, or use `hyperinvariances`, whose head is trained",
            )


@dataclass(frozen=True, slots=True)
class Selected:
    """What a search arrived at.

    Args:
        descriptor: (K,).
        log_penalty: of the head.
        notes: finite numbers for the record, by name.
        choices: |I|, how many descriptors could have been chosen, whatever the labels: what the risk bound pays for.
        certainty: of the choice, for those who read what is exported.
    """

    descriptor: Tensor
    log_penalty: float
    notes: Mapping[str, float]
    choices: int = 1
    certainty: Mapping[str, float] = field(default_factory=dict)


Select = Callable[[AmortisedTask, Phase], Selected]


class ClosedForm:
    """The loop of methods that take a descriptor and fit a ridge head.

    Whatever is chosen is chosen on train + outer: leave-one-out residuals are held out by construction, so no label is
    set aside.

    Args:
        config: which extractor, and what the labelled examples count.
        select: the descriptor and the head's penalty; charges to the phase that it is given.
        phase: `search` where there is something to search for, else `train`.
    """

    programs = False  # whether what is exported is also a program of its own

    def __init__(
        self, context: Context, config: ClosedFormConfig, select: Select, phase: Phase = Phase.TRAIN
    ) -> None:
        self.task = AmortisedTask(context, config.imbalance)
        self._independent = self.task.apart
        self._certainty: dict[str, float] = {}
        # Before anything is fitted only the trivial bound is known: that a loss in [0, 1] is at most 1.
        self._bound = {"total": 1.0, "empirical": 1.0, "complexity": 0.0, "choice": 0.0,
                       "holds": float(self._independent)}
        self._context, self._select, self._phase = context, select, phase
        self.descriptor, self.choices = torch.zeros(len(self.task.extractor.family.factors)), 1
        outputs, features = context.problem.outputs, self.task.extractor.features
        device = context.device
        self.head = Head(
            torch.zeros(outputs, features, device=device), torch.zeros(outputs, device=device),
            torch.ones((), device=device),
        )

    def step(self) -> Slice:
        task, phase = self.task, self._phase
        task.load(phase)
        selected = self._select(task, phase)
        self.descriptor, self.choices, self._certainty = selected.descriptor, selected.choices, dict(selected.certainty)
        count = len(task.targets)
        with self._context.meter.unit("head", (count,), phase=phase), torch.no_grad():
            features = task.features(self.descriptor[None], None)[0]
            self.head = Head.fitted(features, task.targets, selected.log_penalty)
        self._bound = self._terms(bounded(task, features, self.head, self.choices))
        return Slice(dict(selected.notes), phase, ready=True, done=True)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        with torch.no_grad():
            response = self.task.respond(x)
            return self.head(self.task.extractor.finish(response, self.descriptor[None].to(response.device))[0])

    def describe(self) -> Mapping[str, float]:
        family = self.task.extractor.family
        entries = {f"descriptor/{name}": value for name, value in family.named(self.descriptor).items()}
        return {**entries, **{f"bound/{name}": value for name, value in self._bound.items()}}

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `report_card`; after the last step, also in another process than that one's."""
        self._see()
        chosen = Chosen(self.descriptor, self.head, self.choices, self._independent, self._certainty)
        return export(self.task, chosen, folder, self.programs)

    def warnings(self) -> Sequence[str]:
        """Where the extractor does not do on these images what it did where it was trained; as `export`."""
        self._see()
        return drift(self.task)

    def _see(self) -> None:
        """The task's images, which no state holds."""
        if not self.task.loaded:
            self.task.load(Phase.TRAIN)

    def state_dict(self) -> State:
        # As text: which entries there are differs from search to search.
        certainty, bound = json.dumps(self._certainty), json.dumps(self._bound)
        return {
            "descriptor": self.descriptor.clone(), "choices": self.choices, "certainty": certainty, "bound": bound,
            "head": self.head.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self.descriptor, self.choices = state["descriptor"].cpu().clone(), state["choices"]
        self._certainty, self._bound = json.loads(state["certainty"]), json.loads(state["bound"])
        self.head = Head(**{name: value.clone() for name, value in state["head"].items()})

    def _terms(self, bound: RiskBound) -> dict[str, float]:
        """The risk bound by terms, with probability .95 on new images; `holds` is 0 where its assumption does not.

        A total above the largest possible loss says as much as that, and so does a term that is not finite.
        """
        terms = {
            "total": min(bound.total, bound.ceiling), "empirical": bound.empirical, "complexity": bound.complexity,
            "choice": bound.price, "holds": float(self._independent),
        }
        return {name: value if math.isfinite(value) else bound.ceiling for name, value in terms.items()}


class ClosedFormSearch(ClosedForm):
    """One that has searched, and can say what it found.

    Args:
        found: the chosen entries by name -> the configuration without a search.
    """

    programs = True

    def __init__(
        self, context: Context, config: ClosedFormConfig, select: Select, phase: Phase,
        found: Callable[[Mapping[str, float]], MethodConfig],
    ) -> None:
        super().__init__(context, config, select, phase)
        self._found = found

    def warnings(self) -> Sequence[str]:
        """Beside what its base says: entries that do nothing, where any were chosen."""
        return [*super().warnings(), *(inert(self.task) if self._phase is Phase.SEARCH else ())]

    def found(self) -> MethodConfig:
        return self._found(self.task.extractor.family.named(self.descriptor))


def best_of(task: AmortisedTask, descriptors: Tensor, settings: SearchConfig, phase: Phase) -> Selected:
    """Of some descriptors (M, K) the one with the lowest leave-one-out risk."""
    with task.context.meter.unit("judge", (len(task.targets), len(descriptors)), phase=phase):
        counted = CountedFeatures(task.features, len(task.targets), settings.max_pairs)
        evaluated = Judge(counted, task.targets, settings.log_penalties(task.targets)).evaluate(descriptors)
    best = int(evaluated.risk.argmin())
    return Selected(
        evaluated.descriptors[best], float(evaluated.log_penalty[best]), {"search/risk": float(evaluated.risk[best])},
        len(descriptors),
    )


def checked(task: AmortisedTask, entries: Mapping[str, float]) -> Tensor:
    """A descriptor of the task's extractor (K,); UserError where an entry is missing, or a name or a value is wrong."""
    return complete(task.extractor.family, entries)

"""The control of the amortised family: one ordinary extractor, trained to ignore everything, and a ridge head.

The same network, data and number of updates as the conditioned extractor; its descriptor is all on from beginning to
end, which is plain contrastive pre-training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from spaces.domain import Float, Space
from tracking.cost import Phase
from trainables.artefact import ArtefactSpec
from trainables.method import Context, Method
from trainables.modules.amortised import NAME, NO_CONTROL, AmortisedTask
from trainables.modules.closed_form import ClosedForm, ClosedFormConfig, Selected, best_of
from trainables.modules.descriptor_search import SearchConfig
from trainables.modules.pretraining import Descriptors
from trainables.problems.spec import ProblemSpec


class Config(ClosedFormConfig):
    """Which extractor, and the lower end of the head's penalties.

    Args:
        extractor: as for `descriptor`.
        lowest_penalty: of the grid that leave-one-out chooses from, of classes and real targets alike: it has one
            descriptor to judge, and so none that could flatter the labels (`lowest_real` of a descriptor's search).
    """

    space: ClassVar[Space] = Space({"lowest_penalty": Float(low=1e-6, high=1e-1, log=True)})
    control: ClassVar[bool] = True
    fixes: ClassVar[Mapping[str, Any]] = {"descriptors": Descriptors.FIXED, "fixed_entry": 1.0, **NO_CONTROL}

    lowest_penalty: float = Field(default=1e-5, gt=0, le=1e2)

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {NAME: self.extractor.spec(problem, data_seed, **self.fixes)}

    def build(self, context: Context) -> Method:
        """Raises UserError where the extractor does not fit the task."""
        self.require_rule(context.problem)

        def select(task: AmortisedTask, phase: Phase) -> Selected:
            everything = torch.ones(1, len(task.extractor.family.factors))
            settings = SearchConfig(lowest_penalty=self.lowest_penalty, lowest_real=self.lowest_penalty)
            return best_of(task, everything, settings, phase)

        return ClosedForm(context, self, select)

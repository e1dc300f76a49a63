"""Which learned generator a method stands on; two methods with the same choice share one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trainables.artefact import ArtefactSpec
from trainables.modules.generators.kind import GeneratorKind
from trainables.problems.spec import ProblemSpec

NAME = "generator"  # what methods call the artefact that they need


class GeneratorChoice(BaseModel):
    """It learns from the problem's own train and outer images, every class as often, without their labels.

    Those of the tuning's partition: where the select split is not fixed, as `long_tailed` fixes it, later partitions
    select on images that the generator has seen. Test images it has never seen.

    Args:
        kind: of generator; its maker is `KIND_generator`.
        settings: of the maker.
        seed: of the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: GeneratorKind = GeneratorKind.STYLE
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)

    def spec(self, problem: ProblemSpec, data_seed: int) -> ArtefactSpec:
        """What to train for this problem.

        Args:
            data_seed: of the comparison: then no test image of the task is in the pool.
        """
        return ArtefactSpec(
            maker=f"{self.kind}_generator", settings=self.settings, source=problem, data_seed=data_seed, seed=self.seed
        )

"""The training recipe that all methods share: same fields, same domains, so none is tuned harder."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import nn

from spaces.domain import Domain, Float
from trainables.artefact import ArtefactSpec
from trainables.method import Context, MethodConfig
from trainables.modules.amortised import NAME, ExtractorChoice
from trainables.modules.fast_stem import Compiling, Precision
from trainables.modules.pretrained_network import on_trunk
from trainables.problems.spec import ProblemSpec

RECIPE_DOMAINS: dict[str, Domain] = {
    "learning_rate": Float(low=0.01, high=0.5, log=True),
    "weight_decay": Float(low=1e-5, high=1e-2, log=True),
}


class RecipeConfig(MethodConfig):
    """SGD with Nesterov momentum, linear warm-up and cosine decay to zero.

    Args:
        learning_rate: peak of the schedule.
        weight_decay: coupled (added to the gradient), on all weights.
        momentum: of Nesterov.
        warm_up: share of the horizon that the linear rise takes.
        batch_size: examples per update.
        precision, compiling: of the network's forward pass in training, see `fast_stem`; AUTO changes nothing on a CPU.
        pretrained: start from this extractor, its descriptor all on, under a fresh linear head, and train all weights.
            None starts from the comparison's own network with fresh weights.
    """

    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    warm_up: float = Field(default=0.05, ge=0, le=1)
    batch_size: int = Field(default=64, ge=1)
    precision: Precision = Precision.AUTO
    compiling: Compiling = Compiling.AUTO
    pretrained: ExtractorChoice | None = None

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {} if self.pretrained is None else {NAME: self.pretrained.spec(problem, data_seed)}

    def network(self, context: Context, index: int = 0) -> nn.Module:
        """What this recipe trains, with its starting weights; `index` tells apart several in one trial.

        Raises:
            UserError: the extractor was trained on images of another shape.
        """
        return (context if self.pretrained is None else on_trunk(context)).build_network(index)

"""Meta-learned initial weights and inner rates, without a pattern (MAML): the control of `msr`."""

from __future__ import annotations

from typing import ClassVar

from spaces.domain import Space
from trainables.method import Context
from trainables.modules.meta_recipe import META_DOMAINS, MetaConfig
from trainables.modules.meta_training import MetaTraining


class Config(MetaConfig):
    """All weights adapt (Finn, Abbeel and Levine 2017), each tensor at a learned rate (Li et al. 2017, by tensor).

    Args:
        head_only: only the last layer adapts (ANIL, Raghu et al. 2020).
    """

    space: ClassVar[Space] = Space(META_DOMAINS)
    control: ClassVar[bool] = True

    head_only: bool = False

    def build(self, context: Context) -> MetaTraining:
        """Raises UserError where the problem is not made of tasks, or the architecture does not fit."""
        network = self.adapting(context)
        layers = dict.fromkeys(name.rpartition(".")[0] for name, _ in network.named_parameters())
        last = [*layers][-1]
        frozen = [name for name, _ in network.named_parameters() if name.rpartition(".")[0] != last]
        return MetaTraining(context, self, network, frozen if self.head_only else ())

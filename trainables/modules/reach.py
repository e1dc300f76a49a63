"""How far an extractor's invariance reaches: over ranges of a task's transform bank that are wider than it was trained.

    S_k(a) = mean over images of cos(f(x) - m, f(T_v x) - m),   v uniform within half-width a,   everything on

for a the half-width of pre-training, and a the task's own (`control.invariance` is over the former, all factors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from spaces.transforms import Operation
from trainables.modules.amortised import PROBED, AmortisedTask
from trainables.modules.contrast import centred_cosine
from trainables.problems.bank import standard_bank
from trainables.problems.problem import Action

LOST = 0.1  # of measured invariance, from where on a person should know


@dataclass(frozen=True, slots=True)
class Reach:
    """Of one action of the task's bank that the extractor was trained on in a narrower range.

    Args:
        trained, asked: half-widths of pre-training and of the task's bank, in `unit`.
        within, reached: measured invariance over the one and over the other.
        raised: whether the task itself asks for more than a bank does by default.
    """

    action: str
    unit: str
    trained: float
    asked: float
    within: float
    reached: float
    raised: bool

    @property
    def warning(self) -> str | None:
        """What to say where a task asks for more than a bank by default, and there it is missing."""
        if not self.raised or self.within - self.reached <= LOST:
            return None
        limits = f"limits: {{{self.action}: {self.asked:g}}}"
        return (
            f"the problem's bank goes to {self.asked:g} {self.unit} of {self.action}, the extractor was trained to "
            f"{self.trained:g}: its invariance there is {self.reached:.2f}, within what was trained {self.within:.2f}; "
            f"if the task varies so far, pre-train one with `extractor: {{settings: {{{limits}}}}}`"
        )


@torch.no_grad()
def reaches(task: AmortisedTask) -> Sequence[Reach]:
    """Every action of the task's bank that goes beyond what its extractor was trained on; the images are loaded."""
    family, problem = task.extractor.family, task.context.problem
    usual = {action.name: action.limit for action in standard_bank(problem.shape, {})}
    wider = [
        action for action in problem.transform_bank
        if action.name in family.operations and action.limit > family.limit(Operation(action.name))
    ]
    if not wider:
        return ()
    assert task.images is not None, "load comes first"
    x = task.images[:PROBED].to(task.context.device)
    share = torch.rand(len(x), generator=Generator().manual_seed(0)).to(x)
    plain = _features(task, x)
    found = []
    for action in wider:
        trained = family.limit(Operation(action.name))
        within, reached = (_invariance(task, action, x, plain, share, width) for width in (trained / action.limit, 1.0))
        raised = action.limit > usual.get(action.name, 0.0)
        found.append(Reach(action.name, action.unit, trained, action.limit, within, reached, raised))
    return tuple(found)


def _invariance(task: AmortisedTask, action: Action, x: Tensor, plain: Tensor, share: Tensor, width: float) -> float:
    """Over strengths within `width` of the action's limit, at these shares (n,) of it."""
    v = width * (2 * share - 1 if action.signed else share)
    return float(centred_cosine(plain, _features(task, action.apply(x, v))).mean())


def _features(task: AmortisedTask, x: Tensor) -> Tensor:
    """With everything on, (1, n, D)."""
    on = torch.ones(1, len(task.extractor.family.factors), device=x.device)
    return task.extractor.finish(task.respond(x), on)

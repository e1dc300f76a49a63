"""Whether an extractor does on a task's images what it did where it was trained, and which entries do nothing."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from trainables.modules.amortised import AmortisedTask
from trainables.modules.control import Probe, invariance
from trainables.modules.reach import LOST, reaches

INERT = 0.05  # an entry over whose whole range measured invariance rises by less does nothing that counts


def probed(task: AmortisedTask) -> Probe:
    """What is measured on the task's own images; its images are loaded."""
    assert task.images is not None, "load comes first"
    return Probe.draw(task.extractor, task.images.to(task.context.device), Generator().manual_seed(0))


def drift(task: AmortisedTask) -> list[str]:
    """Factors that the extractor, with everything on, ignores less here than where it was trained.

    On this task's images, so it is with images unlike those of pre-training, and about the centre of those: a task of
    few kinds of images lies close about a centre of its own. And over the ranges that the task asks for, where they are
    wider than those of pre-training and than a bank's defaults.
    """
    beyond = [reach.warning for reach in reaches(task) if reach.warning]
    beyond += [task.shared] if task.shared else []
    reference = task.extractor.reference
    if reference is None:
        return beyond
    factors, there = task.extractor.family.factors, reference.invariance
    here = invariance(probed(task), torch.ones(1, len(factors)), reference.centre.to(task.context.device))[0]
    lower = [
        f"{factor} {now:.2f} instead of {then:.2f}"
        for factor, now, then in zip(factors, here.tolist(), there.tolist(), strict=True) if then - now > LOST
    ]
    if not lower:
        return beyond
    return [
        *beyond, f"invariance is lower on this task's images than in pre-training ({', '.join(lower)}): the extractor "
        "may not serve where the task needs it, pre-train one on images like these",
    ]


def rises(probe: Probe) -> Tensor:
    """(K,) by how much S_k is higher with everything on than with everything off."""
    ends = torch.stack((torch.zeros(probe.factors), torch.ones(probe.factors)))
    measured = invariance(probe, ends)
    return measured[1] - measured[0]


def inert(task: AmortisedTask) -> list[str]:
    """One sentence on the entries that do nothing on this task's images: what was chosen for them says nothing."""
    rise = zip(task.extractor.family.factors, rises(probed(task)).tolist(), strict=True)
    still = [f"{factor} ({by:+.2f})" for factor, by in rise if by < INERT]
    return [
        f"entries that do nothing on this task's images: {', '.join(still)} (in brackets, by how much measured "
        "invariance rises from everything off to everything on); what was chosen for them says nothing, a longer "
        "pre-training may help"
    ] if still else []

"""Several processes that make one thing together: each does its share of an update, and gradients are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class LostRankError(RuntimeError):
    """Another process of the team ended before its work did."""


class Team(Protocol):
    """What a maker sees of the processes beside its own; all of them draw the same random numbers.

    `rank` is 0 to size - 1. `average` replaces tensors by their means over all ranks, the same bits everywhere.
    """

    rank: int
    size: int

    def average(self, tensors: Sequence[Tensor]) -> None: ...


class Alone:
    """One process."""

    rank, size = 0, 1

    def average(self, tensors: Sequence[Tensor]) -> None:
        """A mean over one."""


ALONE = Alone()


class Member:
    """One process of several, over torch's process groups: gloo between CPUs, NCCL between GPUs.

    Args:
        meeting: a file that does not exist yet, by which all ranks find each other.
        device: where this rank's tensors live.
        seconds: longer than any wait for another rank within a step.
    """

    def __init__(self, meeting: Path, rank: int, size: int, device: torch.device, seconds: float) -> None:
        self.rank, self.size = rank, size
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(seconds=seconds)
        )

    def average(self, tensors: Sequence[Tensor]) -> None:
        """One message for all. LostRankError where another rank did not come to it."""
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        try:
            dist.all_reduce(flat)
        except RuntimeError as error:
            raise LostRankError(str(error)) from error
        flat /= self.size
        means = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))

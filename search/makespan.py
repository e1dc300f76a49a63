"""How long jobs take on so many slots: list scheduling, the longest chain first, as the director does it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to run on one slot.

    Args:
        seconds: how long it takes.
        after: names of the jobs that must have ended before it can begin.
    """

    seconds: float
    after: tuple[str, ...] = ()


def makespan(jobs: Mapping[str, Job], slots: int) -> float:
    """Seconds until the last job has ended.

    Args:
        jobs: by name; every job comes after those that it waits for.
        slots: jobs at a time, at least 1.
    """
    chains = _chains(jobs)
    waits = {name: len(job.after) for name, job in jobs.items()}
    followers: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for before in job.after:
            followers[before].append(name)
    ready = [(-chains[name], name) for name in jobs if not waits[name]]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            name = heapq.heappop(ready)[1]
            heapq.heappush(running, (now + jobs[name].seconds, name))
        now, ended = heapq.heappop(running)
        for name in followers[ended]:
            waits[name] -= 1
            if not waits[name]:
                heapq.heappush(ready, (-chains[name], name))
    return now


def _chains(jobs: Mapping[str, Job]) -> dict[str, float]:
    """For every job the seconds of the longest chain that begins with it: no number of slots makes it shorter."""
    chains: dict[str, float] = {}
    for name in reversed(list(jobs)):
        own = chains.get(name, 0.0) + jobs[name].seconds
        chains[name] = own
        for before in jobs[name].after:
            chains[before] = max(chains.get(before, 0.0), own)
    return chains

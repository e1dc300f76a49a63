"""Which process is killed when: drawn from a seed, so that a run that failed can be had again."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SEED_VARIABLE = "INVSEARCH_CHAOS_SEED"


class Victim(StrEnum):
    """What is killed, always by SIGKILL."""

    DRIVER = "driver"
    WORKER = "worker"
    RAYLET = "raylet"  # its workers follow
    NODE = "node"      # all processes of a machine at once


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill.

    Args:
        after: results in the journal.
        pick: in [0, 1), which one of several.
    """

    victim: Victim
    after: int
    pick: float

    def of(self, candidates: Sequence[int]) -> int:
        """The one that this kill is for."""
        return candidates[int(self.pick * len(candidates))]


def plan(seed: int, victims: Sequence[Victim], results: int) -> tuple[Kill, ...]:
    """One kill of each of these, in random order, at random points of a sweep.

    Args:
        results: of the whole sweep. Nothing is killed in its last fifth: what must be seen to come back, such as a
            worker, has no work there any more.
    """
    drawn = random.Random(seed)
    points = sorted(drawn.sample(range(2, results * 4 // 5), len(victims)))
    order = drawn.sample(list(victims), len(victims))
    return tuple(Kill(victim, after, drawn.random()) for victim, after in zip(order, points, strict=True))


def chosen_seed() -> int:
    """A fresh one for every run, or the one to repeat."""
    given = os.environ.get(SEED_VARIABLE)
    return random.SystemRandom().randrange(10**6) if given is None else int(given)


def told(seed: int, kills: Sequence[Kill]) -> str:
    """How to have this run again; kills themselves also depend on how fast the machine is."""
    listed = ", ".join(f"{kill.victim}@{kill.after}" for kill in kills)
    return f"{SEED_VARIABLE}={seed}: {listed}"

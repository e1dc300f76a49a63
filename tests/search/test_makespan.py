"""List scheduling: known answers, bounds that hold for every schedule, and an independent bound from theory."""

from __future__ import annotations

import random

import pytest

from search.makespan import Job, makespan

CHAIN = {"a": Job(3.0), "b": Job(2.0), "c": Job(2.0, ("a", "b")), "d": Job(1.0, ("b",))}


@pytest.mark.parametrize(("slots", "seconds"), [(1, 8.0), (2, 5.0), (100, 5.0)])
def test_known_answers(slots: int, seconds: float) -> None:
    assert makespan(CHAIN, slots) == seconds


def test_nothing_takes_no_time() -> None:
    assert makespan({}, 3) == 0.0


def random_jobs(seed: int) -> dict[str, Job]:
    chance, jobs = random.Random(seed), dict[str, Job]()
    for number in range(40):
        after = chance.sample(sorted(jobs), min(len(jobs), chance.randrange(3)))
        jobs[f"{number:02d}"] = Job(chance.uniform(0.1, 5.0), tuple(after))
    return jobs


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_no_schedule_beats_its_bounds_and_this_one_keeps_grahams(seed: int, slots: int) -> None:
    """Graham 1969: list scheduling is within 2 - 1/m of the optimum, and the optimum not below either bound."""
    jobs = random_jobs(seed)
    chains: dict[str, float] = {}
    for name, job in jobs.items():
        chains[name] = job.seconds + max((chains[before] for before in job.after), default=0.0)
    lower = max(max(chains.values()), sum(job.seconds for job in jobs.values()) / slots)
    found = makespan(jobs, slots)
    assert lower - 1e-9 <= found <= (2 - 1 / slots) * lower + 1e-9
    if slots == 1:
        assert found == pytest.approx(sum(job.seconds for job in jobs.values()))

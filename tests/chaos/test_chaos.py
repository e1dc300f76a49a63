"""Drivers, workers, raylets and nodes are killed at random points; the sweep ends as if nothing had happened.

A run that failed prints its seed: INVSEARCH_CHAOS_SEED=... repeats the same kills.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from search.runner import ExitCode
from tests.chaos import laws, victims
from tests.chaos.plan import Victim, chosen_seed, plan, told
from tests.chaos.raylets import raylets
from tests.chaos.scene import BACK_SECONDS, Scene
from tests.chaos.undisturbed import simulated
from tracking.journal import Event
from tracking.read import default_store, history, runs

SEQUENTIAL: dict[str, Any] = {
    "problems": [
        {"label": "one", "source": {"name": "digits"}},
        {"label": "two", "source": {"name": "digits"}, "wrappers": [{"name": "few_shot", "shots": 40}]},
    ],
    "methods": [{"name": "plain"}, {"name": "trivial_augment"}, {"name": "augnet"}],
    "horizon": 90, "slices": 9, "budget": 6.0, "confirm_seeds": 2, "parallel_trials": 1,
    # Bystanders die with the node of a victim: by bad luck one trial is hit three times before it comes further, which
    # the default of two retries rightly calls lost.
    "retries": {"died": 20},
}
# With a fixed list of trials, none of which is stopped early, timing can change nothing but the order.
PARALLEL: dict[str, Any] = SEQUENTIAL | {
    "sampler": "random", "asha": None, "parallel_trials": 3, "max_trials": 8, "budget": 100.0,
}
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
LOCAL = (Victim.DRIVER,) * 6 + (Victim.WORKER,) * 8
CLUSTER = (Victim.DRIVER,) * 3 + (Victim.WORKER,) * 4 + (Victim.RAYLET,) * 3 + (Victim.NODE,) * 3
MANY = (Victim.DRIVER,) * 3 + (Victim.WORKER,) * 3
PACE = 0.3  # seconds per slice: while a killed worker comes back, the others use up the work that is to be disturbed
SLOW = 0.9  # where nodes come back too, which takes longer
RESULTS = 440  # that either sweep makes at least


def test_a_full_run_kills_at_least_thirty_times() -> None:
    assert len(LOCAL + CLUSTER + MANY) >= 30
    assert set(LOCAL + CLUSTER + MANY) == set(Victim)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_driver_and_workers_of_one_machine(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "cut", SEQUENTIAL, slots=2, pace=PACE, mlflow=str(tmp_path))
    events, reference = attacked(scene, LOCAL)
    laws.check(events, reference)
    laws.one_run_per_trial(events, stored(tmp_path, "cut"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_parallel_trials(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "cut", PARALLEL, slots=2, pace=PACE)
    laws.check(*attacked(scene, MANY))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_driver_workers_raylets_and_nodes_of_a_cluster(tmp_path: Path) -> None:
    with raylets(3, SLOW) as cluster:
        scene = Scene(tmp_path / "cut", SEQUENTIAL, slots=3, pace=SLOW, raylets=cluster)
        laws.check(*attacked(scene, CLUSTER))


def attacked(scene: Scene, chosen: Sequence[Victim]) -> tuple[list[Event], list[Event]]:
    """The journal of a sweep after these kills, and that of the undisturbed one."""
    seed = chosen_seed()
    kills = plan(seed, chosen, RESULTS)
    print(told(seed, kills))  # pytest shows it where the test fails
    try:
        code = scene.run(kills)
    finally:
        print("all slots at work after", [f"{seconds:.1f} s" for seconds in scene.waited])
        print("slots were back after", [f"{seconds:.1f} s" for seconds in scene.back])
    assert code == ExitCode.DONE
    assert len(scene.done) == len(chosen)
    assert max(scene.back, default=0.0) <= BACK_SECONDS
    events = victims.events(scene.place)
    return events, simulated(events[0])


def stored(folder: Path, sweep: str) -> list[tuple[str, list[int]]]:
    """uid and steps of the learning curve of every trial's run in MLflow."""
    store = default_store(folder, sweep)
    return [
        (run["tags"]["uid"], [step for step, *_ in history(store, run["run_id"], "val/score")])
        for run in runs(store, sweep)
    ]

"""What the platform costs over bare Ray Tune: `python benchmarks/overhead.py [--quick]`.

The same trials (class `Trial`, `reuse_actors=True`, default loggers off, same slots, same in-flight limit) run in
turns under our runner (journal, Optuna, MLflow in the background, a checkpoint in every trial) and under a bare
`tune.Tuner` that keeps no state: once as it comes, which loses one of two workers while trials are short, and once
helped to keep them (search/slots.py), which is the side that ratios are against. All time ends when the last trial has
ended; what the MLflow writer still has to do then is printed apart.

Trials of 10 s are compared by the pace of tune trials alone: from the end of the first one on each slot to the last.
Whole walls would not do: ours runs its unit, probe and confirm trials one after another, as their results are needed;
the bare side, which is given them as a list, packs them; and how long a worker takes to start swings by seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TRIALS, SLOTS = 100, 2
LONG_TRIALS, LONG_SECONDS = 16, 10.0
LONG = ("overhead_fraction_10s_trial", "seconds_per_10s_trial", "bare_seconds_per_10s_trial")


def described(trials: int, seconds: float = 0.0) -> Any:
    """A comparison of one study with so many trivial tune trials."""
    from search.study import Comparison
    from trainables.plugins import PluginFile

    return Comparison.model_validate({
        "plugins": [PluginFile.of(HERE / "trivial.py").model_dump(mode="json")],
        "problems": [{"label": "noise", "source": {"name": "noise"}}],
        "methods": [{"name": "trivial", "settings": {"seconds": seconds / 2}}],
        "network": "mlp", "horizon": 2, "slices": 2, "budget": 1e9, "max_trials": trials, "confirm_seeds": 1,
        "sampler": "random", "asha": None, "parallel_trials": SLOTS + 1, "copies": 1, "strengths": 1,
        "checkpoint_seconds": 1e-6,  # due before the second of two slices
    })


def ours(trials: int, folder: Path, seconds: float = 0.0) -> dict[str, Any]:
    """One sweep with everything on; wall time until the last trial ended, drain, and the reports' share."""
    from search import runner
    from search.cluster import Connection
    from search.director import Director
    from tracking.mlflow_log import MlflowLog, default_store

    spent: list[float] = []
    assignments: list[str] = []
    report, following = Director.report, Director.next

    def noted(self: Director) -> Any:
        assignment = following(self)
        if assignment is not None:
            assignments.append(assignment.model_dump_json())
        return assignment

    def timed(self: Director, row: Any) -> Any:
        began = time.perf_counter()
        try:
            return report(self, row)
        finally:
            spent.append(time.perf_counter() - began)

    comparison = described(trials, seconds)
    log = MlflowLog(default_store(folder, f"overhead-{time.time_ns()}"), "overhead")
    Director.report, Director.next = timed, noted  # type: ignore[method-assign]
    try:
        began = time.perf_counter()
        sweep = folder / f"sweep-{time.time_ns()}"
        outcome = runner.compare(comparison, sweep, (log.observe,), Connection(cpus=SLOTS))
        wall = time.perf_counter() - began
    finally:
        Director.report, Director.next = report, following  # type: ignore[method-assign]
    began = time.perf_counter()
    left = log.close(300.0)
    return {
        "wall": wall, "drain": time.perf_counter() - began, "left": left,
        "report_ms": [1000 * s for s in spent],
        "assignments": assignments,
        "ended": [
            event["time_ms"] / 1000 for event in outcome.sweep.events()
            if event["kind"] == "ended" and "/tune-" in event["uid"]
        ],
    }


def bare(assignments: list[str], keeps: bool = True) -> tuple[float, list[float]]:
    """The very same trials under Ray Tune alone, without checkpoints: wall time, and when each trial ended.

    Args:
        keeps: its idle workers are kept and started as in our runner.
    """
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler

    from search.driver import scratch_folder
    from search.slots import Slots, keep_workers
    from trainables.trial import Trial

    ended: list[float] = []

    class Timed(FIFOScheduler):
        def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
            ended.append(time.time())

    class Keeping(Timed):
        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            keep_workers(tune_controller, trial, Slots(lambda: SLOTS))

    forgetful = [json.loads(text) for text in assignments]
    for assignment in forgetful:
        assignment["protocol"]["checkpoint_seconds"] = 1e9
    config = {"uid": "bare", "known": 0, "hang_seconds": 600.0}
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(SLOTS)
    with scratch_folder() as scratch:
        began = time.perf_counter()
        tune.Tuner(
            tune.with_resources(Trial, {"cpu": 1}),
            param_space=config | {"assignment": tune.grid_search([json.dumps(text) for text in forgetful])},
            tune_config=tune.TuneConfig(
                reuse_actors=True, max_concurrent_trials=SLOTS + 1, scheduler=Keeping() if keeps else Timed()
            ),
            run_config=tune.RunConfig(
                name="bare", storage_path=scratch, verbose=0,
                # As in our runner: a save that the class does not have would fail the trial and cost its worker.
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()
        return time.perf_counter() - began, ended


def pace(ended: list[float]) -> float:
    """Seconds per trial and slot once every slot has ended its first."""
    steady = sorted(ended)[SLOTS - 1:]
    return SLOTS * (steady[-1] - steady[0]) / (len(steady) - 1)


def long_trials(folder: Path) -> dict[str, float]:
    """Trials of 10 s: what ours takes per trial over the bare side, and both sides' seconds."""
    run = ours(LONG_TRIALS, folder, seconds=LONG_SECONDS)
    tuned = [text for text in run["assignments"] if json.loads(text)["stage"] == "tune"]
    mine, alone = pace(run["ended"]), pace(bare(tuned)[1])
    return dict(zip(LONG, (mine / alone - 1, mine, alone), strict=True))


def help_seconds(runs: int) -> float:
    """Median of fresh processes."""
    walls = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([Path(sys.executable).parent / "invsearch", "--help"], check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - began)
    return statistics.median(walls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn of fewer trials")
    quick = parser.parse_args().quick
    trials, turns = (40, 1) if quick else (TRIALS, 3)

    from search import cluster
    from search.runner import prepare

    cluster.start(cluster.Connection(cpus=SLOTS))
    prepare(described(1))
    ratios, walls, bares, stock, drains, reports = [], [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        bare(ours(2, Path(folder))["assignments"])  # not counted: fills the machine's file cache
        for _ in range(turns):
            run = ours(trials, Path(folder))
            alone, _ = bare(run["assignments"])  # unit, probe and confirm trials are among them
            stock.append(run["wall"] / bare(run["assignments"], keeps=False)[0])
            ratios.append(run["wall"] / alone)
            walls.append(run["wall"])
            bares.append(alone)
            drains.append(run["drain"])
            reports += run["report_ms"]
            print(f"{len(run['assignments'])} trials: ours {run['wall']:.2f} s, bare {alone:.2f} s, "
                  f"ratio {ratios[-1]:.3f} ({stock[-1]:.3f} as it comes), drain {run['drain']:.2f} s, "
                  f"{run['left']} events left", flush=True)
        long: dict[str, float | None] = dict.fromkeys(LONG)
        if not quick:
            long |= long_trials(Path(folder))
    figures = {
        "wall_ratio_vs_bare_ray": statistics.median(ratios),
        "wall_ratio_vs_stock_ray": statistics.median(stock),
        "wall_seconds": statistics.median(walls),
        "bare_seconds": statistics.median(bares),
        "drain_seconds": statistics.median(drains),
        **long,
        "report_ms": statistics.median(reports),
        "report_ms_p95": statistics.quantiles(reports, n=20)[-1],
        "help_seconds": help_seconds(3 if quick else 7),
    }
    for name, value in figures.items():
        print(f"{name:32s} {'not measured by --quick' if value is None else f'{value:.3f}'}")
    from tracking.provenance import collect

    reasons = {name: "--quick runs no 10 s trials" for name, value in figures.items() if value is None}
    print(json.dumps({**figures, "reasons": reasons, "trials": trials, "turns": turns, "machine": platform.machine(),
                      "provenance": collect(HERE)}))


if __name__ == "__main__":
    main()

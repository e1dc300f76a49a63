"""What the platform costs over bare Ray Tune: `python benchmarks/overhead.py [--quick]`.

The same trials (class `Trial`, `reuse_actors=True`, default loggers off, same slots, same in-flight limit) run in
turns under our runner (journal, Optuna, MLflow in the background) and under a bare `tune.Tuner`. Both sides' time ends
when the last trial has ended; what the MLflow writer still has to do then is printed apart.
"""

from __future__ import annotations

import argparse
import json
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


def described(trials: int, seconds: float = 0.0) -> Any:
    """A comparison of one study with so many trivial tune trials."""
    from search.study import Comparison
    from trainables.plugins import PluginFile

    return Comparison.model_validate({
        "plugins": [PluginFile.of(HERE / "trivial.py").model_dump(mode="json")],
        "problems": [{"label": "noise", "source": {"name": "noise"}}],
        "methods": [{"name": "trivial", "settings": {"seconds": seconds}}],
        "network": "mlp", "horizon": 1, "slices": 1, "budget": 1e9, "max_trials": trials, "confirm_seeds": 1,
        "sampler": "random", "asha": None, "parallel_trials": SLOTS + 1, "copies": 1, "strengths": 1,
    })


def ours(trials: int, folder: Path, seconds: float = 0.0) -> dict[str, Any]:
    """One sweep with everything on; wall time until the last trial ended, drain, and the reports' share."""
    from search import runner
    from search.director import Director
    from tracking.mlflow_log import MlflowLog, default_store

    spent: list[float] = []
    report = Director.report

    def timed(self: Director, row: Any) -> Any:
        began = time.perf_counter()
        try:
            return report(self, row)
        finally:
            spent.append(time.perf_counter() - began)

    comparison = described(trials, seconds)
    log = MlflowLog(default_store(folder, f"overhead-{time.time_ns()}"), "overhead")
    Director.report = timed  # type: ignore[method-assign]
    try:
        began = time.perf_counter()
        outcome = runner.compare(comparison, folder / f"sweep-{time.time_ns()}", (log.observe,), cpus=SLOTS)
        wall = time.perf_counter() - began
    finally:
        Director.report = report  # type: ignore[method-assign]
    began = time.perf_counter()
    left = log.close(300.0)
    return {
        "wall": wall, "drain": time.perf_counter() - began, "left": left,
        "report_ms": [1000 * s for s in spent],
        "assignments": [e for e in outcome.sweep.events() if e["kind"] == "asked"],
        "configs": outcome.sweep,
    }


def bare(trials: int, seconds: float = 0.0) -> float:
    """The same number of the same trials under Ray Tune alone."""
    from ray import tune

    from search.director import Director
    from search.runner import _scratch
    from search.sweep import cache_folder
    from trainables.trial import Trial

    comparison = described(trials, seconds)
    director = Director(comparison, Path("unused"), cache_folder(), lambda kind, **fields: {"kind": kind})
    first = director.next()  # the plain unit; then the same assignment shape for the trivial method
    assert first is not None
    settings = {"learning_rate": 0.1, "seconds": seconds}
    row = first.model_copy(update={"method": "trivial", "settings": settings, "folder": Path("unused/none")})
    with _scratch() as scratch:
        began = time.perf_counter()
        tune.Tuner(
            tune.with_resources(Trial, {"cpu": 1}),
            param_space={
                "uid": "bare", "assignment": row.model_dump_json(), "number": tune.grid_search(list(range(trials))),
            },
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=SLOTS + 1),
            run_config=tune.RunConfig(name="bare", storage_path=scratch, verbose=0),
        ).fit()
        return time.perf_counter() - began


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

    cluster.start(None, SLOTS)
    prepare(described(1))
    ratios, walls, bares, drains, reports = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        bare(2 * SLOTS)  # warm: the first workers of a session import torch
        for _ in range(turns):
            run = ours(trials, Path(folder))
            alone = bare(len(run["assignments"]))  # unit, probe and confirm trials count too
            ratios.append(run["wall"] / alone)
            walls.append(run["wall"])
            bares.append(alone)
            drains.append(run["drain"])
            reports += run["report_ms"]
            print(f"{len(run['assignments'])} trials: ours {run['wall']:.2f} s, bare {alone:.2f} s, "
                  f"ratio {ratios[-1]:.3f}, drain {run['drain']:.2f} s, {run['left']} events left")
        fraction: float | None = None
        if not quick:
            long = ours(6, Path(folder), seconds=10.0)
            fraction = long["wall"] / bare(len(long["assignments"]), seconds=10.0) - 1
    figures = {
        "wall_ratio_vs_bare_ray": statistics.median(ratios),
        "wall_seconds": statistics.median(walls),
        "bare_seconds": statistics.median(bares),
        "drain_seconds": statistics.median(drains),
        "overhead_fraction_10s_trial": fraction,
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

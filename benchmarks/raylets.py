"""The same sweep on 1, 2 and 4 raylets of one machine, at equal CPUs: `python benchmarks/raylets.py [--quick]`.

Trials sleep, so the machine's real cores do not decide; what differs is how many nodes Ray has to talk to. Each row is
a process of its own with a cluster of its own; journal, MLflow and checkpoints are on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CPUS, SECONDS = 4, 1.0


def sweep(raylets: int, trials: int) -> dict[str, float]:
    """One row; to be called in a fresh process."""
    import ray
    from overhead import described
    from ray.cluster_utils import Cluster

    from search import runner
    from search.cluster import Connection
    from tracking.mlflow_log import MlflowLog, default_store

    each = {"num_cpus": CPUS // raylets, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=each)
    for _ in range(raylets - 1):
        nodes.add_node(num_cpus=CPUS // raylets)
    with tempfile.TemporaryDirectory() as folder:
        comparison = described(trials, SECONDS).model_copy(update={"parallel_trials": CPUS + 1})
        log = MlflowLog(default_store(Path(folder), "raylets"), "raylets")
        outcome = runner.compare(
            comparison, Path(folder) / "raylets", (log.observe,), Connection(address=nodes.address)
        )
        log.close(60.0)
        events = outcome.sweep.events()
    ray.shutdown()  # a cluster does not go while a driver is connected to it
    nodes.shutdown()
    ended = [event["time_ms"] for event in events if event["kind"] == "ended" and "/tune-" in event["uid"]]
    # The first of each worker waits for its start; from then on the pace is steady.
    steady = sorted(ended)[CPUS:]
    return {
        "trials": float(len(ended)),
        "trials_per_minute": 60_000 * (len(steady) - 1) / (steady[-1] - steady[0]),
        "sweep_seconds": (events[-1]["time_ms"] - events[0]["time_ms"]) / 1000,
    }


def measured(raylets: int, trials: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--row", str(raylets), "--trials", str(trials)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # stderr is shown
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 raylet only, few trials")
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, default=80, help="per row")
    given = parser.parse_args()
    if given.row is not None:
        print(json.dumps(sweep(given.row, given.trials)))
        return
    counts, trials = ((1,), 24) if given.quick else ((1, 2, 4), given.trials)
    rows = {count: measured(count, trials) for count in counts}
    most = 60.0 * CPUS / SECONDS
    print(f"{CPUS} CPUs in all, trials of {SECONDS:g} s: at most {most:g} a minute")
    print(f"{'raylets':>8s} {'trials':>7s} {'a minute':>9s} {'sweep, s':>9s}")
    for count, row in rows.items():
        print(f"{count:8d} {row['trials']:7.0f} {row['trials_per_minute']:9.1f} {row['sweep_seconds']:9.1f}")
    from tracking.provenance import collect

    figures: dict[str, Any] = {}
    for count in (1, 2, 4):
        figures[f"trials_per_minute_{count}_raylets"] = rows[count]["trials_per_minute"] if count in rows else None
    reasons = {name: "--quick runs one raylet" for name, value in figures.items() if value is None}
    print(json.dumps({**figures, "most_per_minute": most, "reasons": reasons, "provenance": collect(HERE)}))


if __name__ == "__main__":
    main()

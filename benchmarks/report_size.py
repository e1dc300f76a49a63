"""What a report takes to make: `python benchmarks/report_size.py [--quick]`.

A made-up journal of 1,000 trials (10 methods on 2 problems, 12 reports a trial with the metrics of real ones), and one
of 10,000 (20 methods on 10 problems); each is reported by `invsearch report NAME` as a process of its own, Python's
start included. Printed: wall seconds, the highest resident memory, and the size of the page.

    --quick  the small one, once
    (none)   the small one three times, the large one once
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
REPORTS, SEEDS, UNIT = 12, 5, 1_000_000
ACTIONS = ("rotation", "translate_x", "translate_y", "scale", "shear_x", "brightness", "contrast", "gaussian_blur")
INVARIANCES, CLASSES = ("agreement", "kl", "relative"), 10
BY_CLASS = ("accuracy", "ekld", "ekld_scaled", "js", "consistency")
PARTS = ("mean", "head", "middle", "tail", *(f"of_{label}" for label in range(CLASSES)))
UNITS = ("flops", "examples", "cpu_seconds", "device_seconds", "wall_seconds", "label_reads", "unlabelled_reads")


def metrics(flops: float, score: float, last: bool, generator: np.random.Generator) -> dict[str, float]:
    """Of one report, as the harness names them."""
    found = {"train/loss": 1 - score, "val/score": score, "cost/peak_host_bytes": 1e9}
    for prefix in ("cost/", "cost/search/", "cost/train/", "evaluation/"):
        found |= {f"{prefix}{unit}": flops * generator.uniform(0.3, 0.5) for unit in UNITS}
    found["cost/flops"] = flops
    if last:
        found |= {f"invariance/{action}/{q}": generator.uniform() for action in ACTIONS for q in INVARIANCES}
        found |= {f"classes/{q}/{part}": generator.uniform() for q in BY_CLASS for part in PARTS}
        found |= {f"classes/size/of_{label}": 100.0 / (1 + label) for label in range(CLASSES)}
        found |= {f"learned/policy/{action}/range_deg": generator.uniform() for action in ACTIONS}
        found |= {f"test/score{kind}": score for kind in ("", "_own_copies", "_common_copies")}
    return found


def trial(
    problem: str, method: str, stage: str, index: int, cost: float, score: float, generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Asked, its reports, ended."""
    uid = f"{problem}/{method}/{stage}-{index}"
    yield {"kind": "asked", "uid": uid, "problem": problem, "method": method, "stage": stage, "index": index,
           "seed": index, "partition": index,
           "config": {"learning_rate": 0.1, "weight_decay": 0.001, "outer_learning_rate": 0.02}}
    flops, told = 0.0, {}
    for number in range(REPORTS):
        flops, last = cost * UNIT * (number + 1) / REPORTS, number == REPORTS - 1
        told = metrics(flops, score * (number + 1) / REPORTS, last and stage == "rerun", generator)
        yield {"kind": "result", "uid": uid, "index": number, "status": "complete" if last else "running",
               "ready": True, "score": told["val/score"], "flops": round(flops), "metrics": told, "found": None,
               "ledger": None, "reason": None, "values": [told["val/score"]]}
    yield {"kind": "ended", "uid": uid, "status": "complete", "reason": None, "metrics": told, "ledger": None}


def events(trials: int, problems: int, methods: int) -> Iterator[dict[str, Any]]:
    """A finished sweep of about so many trials."""
    generator = np.random.default_rng(0)
    places, names = [f"problem-{k}" for k in range(problems)], ["plain", *(f"method-{k}" for k in range(1, methods))]
    tuned = max(1, (trials - problems) // (problems * methods) - SEEDS - 1)
    yield {"kind": "sweep", "name": "made-up", "provenance": {}, "controls": ["plain"], "units": {"rotation": "deg"},
           "comparison": {"problems": [{"label": p} for p in places], "confirm_seeds": SEEDS, "budget": 20.0,
                          "methods": [{"name": n, "label": "", "settings": {}} for n in names]},
           "truths": {p: {"invariant": {"rotation": 60.0}, "harmful": {}} for p in places},
           "kinds": dict.fromkeys(places, "classification")}
    for problem in places:
        yield from trial(problem, "budget-unit", "unit", 0, 1.0, 0.8, generator)
        for method in names:
            yield from trial(problem, method, "probe", 0, 0.1, 0.5, generator)
            for index in range(tuned):
                yield from trial(problem, method, "tune", index, 1.0, generator.uniform(0.5, 0.9), generator)
            for seed in range(1, SEEDS + 1):
                yield from trial(problem, method, "rerun", seed, 1.0, generator.uniform(0.7, 0.9), generator)
    yield {"kind": "sweep_done"}


def written(folder: Path, trials: int, problems: int, methods: int) -> int:
    """The journal of such a sweep; how many trials it has."""
    folder.mkdir(parents=True)
    count = 0
    with (folder / "journal.jsonl").open("w") as file:
        for number, event in enumerate(events(trials, problems, methods)):
            count += event["kind"] == "asked"
            file.write(json.dumps({"schema": 1, "seq": number, "time_ms": 1000 * number, **event}) + "\n")
    return count


def reported(root: Path, name: str) -> tuple[float, float]:
    """Wall seconds and the highest resident memory in GiB of `invsearch report`."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "search.cli", "report", name, "--root", str(root)], stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the report of {name} failed")
    return time.perf_counter() - began, used.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sizes = {"thousand": (1000, 2, 10, 1 if quick else 3)} | ({} if quick else {"ten_thousand": (10_000, 10, 20, 1)})
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (trials, problems, methods, turns) in sizes.items():
            count = written(Path(folder) / name, trials, problems, methods)
            runs = [reported(Path(folder), name) for _ in range(turns)]
            page = (Path(folder) / name / "report" / "report.html").stat().st_size
            figures |= {
                f"{name}_trials": count, f"{name}_seconds": statistics.median(seconds for seconds, _ in runs),
                f"{name}_gib": max(memory for _, memory in runs), f"{name}_page_mb": page / 1e6,
            }
    for label, value in figures.items():
        print(f"{label:24s} {value:.4g}")
    sys.path.insert(0, str(HERE.parent))
    from tracking.provenance import collect

    print(json.dumps({**figures, "provenance": collect(HERE)}))


if __name__ == "__main__":
    main()

"""What each way of finding an invariance costs to a given accuracy: `python benchmarks/time_to_accuracy.py [--quick]`.

Every method is run at several lengths; a length is a training of its own, with its own schedule, searches included. The
cost to an accuracy is that of the shortest training that reaches it, between two lengths by interpolation in the
logarithm of cost. Two accuracies are asked for, fixed before any row was seen: the best that plain training has at any
length, and the best of all rows minus two points, both in the mean over seeds. Every row is also shown with the same
test-time averaging over copies of its own distribution.

Problems: digits upright in train and turned by up to 45 degrees elsewhere (`shifted`; only what reads `outer` can
know), turned everywhere (`everywhere`), and 5,000 images of MNIST turned everywhere (`mnist`, where INVSEARCH_MNIST
names the folder that holds `MNIST/raw`). Costs are FLOPs by the meter; seconds stand beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from alone import run
from amortised_table import Interval, interval
from row_book import Book, Job, Row

from tracking.provenance import collect
from trainables.method import MethodConfig
from trainables.methods import augerino, augnet, implicit, learned_ranges, plain, trivial_augment, unrolled
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec, in_memory

HERE = Path(__file__).resolve().parent
TURN = 45.0  # degrees
METHODS: Mapping[str, MethodConfig] = {
    "plain": plain.Config(), "trivial_augment": trivial_augment.Config(), "learned_ranges": learned_ranges.Config(),
    "augerino": augerino.Config(), "augnet": augnet.Config(), "unrolled": unrolled.Config(),
    "implicit": implicit.Config(),
}
LEARNED, BILEVEL = ("learned_ranges", "augnet"), ("unrolled", "implicit")
COPIES = 4
MARGIN = 0.02  # below the best row of all


def problem(name: str, seed: int) -> ArrayProblem:
    """Train, outer and test of one seed."""
    source: dict[str, Any] = {"name": "digits"}
    everywhere = [split.value for split in Split]
    if name == "mnist":
        root = os.environ["INVSEARCH_MNIST"]
        source = {"name": "torchvision", "dataset": "MNIST", "root": root, "download": False, "limit": 5000}
    elsewhere = [split for split in everywhere if split != Split.TRAIN.value]
    on = elsewhere if name == "shifted" else everywhere
    spec = ProblemSpec.model_validate({
        "label": name, "source": source,
        "wrappers": [{"name": "nuisance", "ranges": {"rotation": TURN}, "on": on}],
    })
    return in_memory(spec.dataset(seed), seed, 0)


def measured(name: str, method: str, seed: int, horizon: int) -> Row:
    """One training, with its search."""
    task = problem(name, seed)
    ended = run(METHODS[method], task, seed, horizon)
    return {
        "problem": name, "method": method, "seed": seed, "horizon": horizon,
        "accuracy": ended.score(task, Split.TEST), "averaged": ended.averaged_score(task, Split.TEST, COPIES),
        "flops": ended.flops, "seconds": ended.seconds,
    }


def jobs(problems: Sequence[str], seeds: int, horizons: Sequence[int]) -> Iterator[Job]:
    """Seeds outermost: what is there when a run is stopped is balanced."""
    for seed in range(seeds):
        for name in problems:
            for method in METHODS:
                for horizon in horizons:
                    key = {"problem": name, "method": method, "seed": seed, "horizon": horizon}
                    yield Job(key, partial(measured, name, method, seed, horizon))


def cost_to(points: Sequence[tuple[float, float]], wanted: float) -> float | None:
    """The cost at which a curve of (cost, accuracy), rising in cost, first reaches `wanted`; None if it never does."""
    before: tuple[float, float] | None = None
    for cost, accuracy in points:
        if accuracy >= wanted:
            if before is None:
                return cost
            share = (wanted - before[1]) / (accuracy - before[1])
            return math.exp(math.log(before[0]) + share * (math.log(cost) - math.log(before[0])))
        before = cost, accuracy
    return None


def curve(rows: Iterable[Row], what: str = "flops") -> list[tuple[float, float]]:
    """(mean cost, mean accuracy) by length, shortest first."""
    by_length: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_length[row["horizon"]].append(row)
    return [
        (statistics.fmean(r[what] for r in some), statistics.fmean(r["accuracy"] for r in some))
        for _, some in sorted(by_length.items())
    ]


def faster(rows: Sequence[Row], ours: str, theirs: str, wanted: float) -> tuple[Interval | None, int, int]:
    """Cost of `theirs` over that of `ours` to an accuracy: geometric mean over seeds with a 95 % t-interval of its log.

    Only seeds on which both reach it count; with the numbers of seeds on which ours and theirs did.
    """
    seeds = sorted({row["seed"] for row in rows})
    mine, other = (
        {s: cost for s in seeds if (cost := cost_to(
            curve(r for r in rows if r["method"] == name and r["seed"] == s), wanted)) is not None}
        for name in (ours, theirs)
    )
    logs = [math.log(other[seed] / mine[seed]) for seed in seeds if seed in mine and seed in other]
    if not logs:
        return None, len(mine), len(other)
    mean, low, high = interval(logs)
    ends = [None if end is None else math.exp(end) for end in (low, high)]
    return Interval(math.exp(mean), *ends), len(mine), len(other)


def targets(rows: Sequence[Row]) -> dict[str, float]:
    """The two accuracies of a problem."""
    best = {
        name: max(accuracy for _, accuracy in curve(r for r in rows if r["method"] == name))
        for name in {row["method"] for row in rows}
    }
    return {"best_plain": best["plain"], "best_of_all_minus_2": max(best.values()) - MARGIN}


def report(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Prints a problem's tables; returns its figures."""
    print(f"\n{name}: test accuracy in % (with own copies), by length in updates; mean over seeds +- half of the 95 %"
          " t-interval")
    lengths = sorted({row["horizon"] for row in rows})
    print(f"{'':18s}" + "".join(f"{length:>22d}" for length in lengths) + f"{'GFLOP':>10s}{'s':>8s} of the longest")
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        cells, last = [], [row for row in mine if row["horizon"] == lengths[-1]]
        for length in lengths:
            some = [row for row in mine if row["horizon"] == length]
            plainly, copies = (100 * statistics.fmean(r[k] for r in some) for k in ("accuracy", "averaged"))
            seen = interval([100 * r["accuracy"] for r in some])
            half = "" if seen.low is None else f" +- {seen.mean - seen.low:.1f}"
            cells.append(f"{plainly:.1f}{half} ({copies:.1f})")
        print(f"{method:18s}" + "".join(f"{cell:>22s}" for cell in cells)
              + f"{statistics.fmean(r['flops'] for r in last) / 1e9:10.1f}"
              + f"{statistics.fmean(r['seconds'] for r in last):8.1f}")
    found: dict[str, Any] = {}
    for target, wanted in targets(rows).items():
        print(f"cost to {100 * wanted:.1f} % ({target}):")
        for method in METHODS:
            mine = [row for row in rows if row["method"] == method]
            flops, seconds = cost_to(curve(mine), wanted), cost_to(curve(mine, "seconds"), wanted)
            said = "not reached" if flops is None else f"{flops / 1e9:.1f} GFLOP, {seconds:.1f} s"
            print(f"  {method:18s}{said}")
            found[f"{name}/{target}/{method}/gflop"] = None if flops is None else flops / 1e9
        for ours in LEARNED:
            for theirs in BILEVEL:
                ratio, a, b = faster(rows, ours, theirs, wanted)
                key = f"{name}/{target}/{theirs}_over_{ours}"
                found |= {key: ratio, f"{key}/seeds_reached": (a, b)}
                said = "no seed on which both" if ratio is None else _said(ratio)
                print(f"  {theirs} over {ours}: {said}; reached by {b} and {a} seeds")
    return found


def _said(ratio: Interval) -> str:
    return f"{ratio.mean:.2f}" + ("" if ratio.low is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one problem, two seeds, two lengths, nothing kept")
    parser.add_argument("--problems", nargs="+", choices=("shifted", "everywhere", "mnist"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--horizons", nargs="+", type=int, default=[75, 150, 300, 600, 1200])
    parser.add_argument("--results", type=Path, default=HERE / "results" / "time_to_accuracy.jsonl")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    names = options.problems or ["shifted", "everywhere", *(["mnist"] if os.environ.get("INVSEARCH_MNIST") else [])]
    seeds, horizons = options.seeds, options.horizons
    if options.quick:
        names, seeds, horizons = names[:1], 2, [20, 40]
    book = Book(None if options.quick else options.results)
    rows = []
    for job in jobs(names, seeds, horizons):
        rows.append(book.take(job))
        print(*(f"{rows[-1][k]}" for k in ("problem", "method", "seed", "horizon", "accuracy")), flush=True)
    found: dict[str, Any] = {}
    for name in names:
        found |= report(name, [row for row in rows if row["problem"] == name])
    print(json.dumps({
        **found, "seeds": seeds, "horizons": horizons, "threads": options.threads,
        "commits_of_rows": sorted({str(row["commit"]) for row in rows}), "command": shlex.join(sys.argv),
        "provenance": collect(HERE),
    }))


if __name__ == "__main__":
    main()

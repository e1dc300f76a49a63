"""What amortised invariance buys, and what it costs: `python benchmarks/amortised.py [--quick | --full]`.

An extractor is pre-trained once; on every task a descriptor and a head are then found in closed form. Tasks are planted
so that ignoring a factor helps, or harms; both kinds are reported apart. Rivals train for each task alone, from scratch
or from the same trunk, and are charged the cheapest of several budgets within one standard error of their own best.

    --quick  four tasks, one shot count, two seeds, the quick extractor after some of its updates, fewer controls;
             runs of `unrolled` on one task while time allows
    (none)   all tasks on the digits, 10 per class, two seeds, `unrolled` on four tasks
    --full   all tasks x 5, 10, 50 per class x 5 seeds x all rivals; resumes from the rows under results/

"Within one standard error" (`within_one_se_fraction`) is judged on the test images: the squared error of the chosen
descriptor's head minus that of the corner which leave-one-out on all labels likes best of all 2^K, per image; its mean
is no larger than its standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from amortised_rows import SCRATCH, TRUNK, Cell, Row, Workshop, amortised, controlled, extractors, pretrained, rival
from amortised_table import figures, tables
from amortised_tasks import Data, Task, digits, sources, suite
from amortised_timing import conditioning, searches
from row_book import Book, Job

from tracking.provenance import collect
from trainables.modules.amortised import Quality

HERE = Path(__file__).resolve().parent
QUICK_TASKS = ("rotation", "contrast", "which-rotation", "which-contrast")
QUICK_UPDATES = 60    # of pre-training: the quick extractor's own would take the whole time
QUICK_SECONDS = 36.0  # after which --quick begins no run of a rival
RIVALS = (*SCRATCH, *(name + TRUNK for name in SCRATCH))
FIXED = (
    "search_seconds_gradient_n500", "search_seconds_corners_n500", "pretrain_seconds_digits",
    "conditioning_cost_ratio", "spearman_min", "within_one_se_fraction", "cost_ratio_unrolled_over_descriptor",
    "accuracy_difference_vs_unrolled", "break_even_tasks",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Args:
        tasks: names; empty means all.
        rival_tasks: names; empty means all of `tasks`.
        horizons: updates of a rival.
        extractors: pre-trainings with different seeds; seed s of the tasks stands on number s modulo this.
        runs: of every search and every training step that is timed.
        papers: with the unconditional extractor and the papers' method, each with a pre-training of its own.
        brief: without random descriptors and other searches.
        images: that curves are measured on.
    """

    data: tuple[Data, ...]
    tasks: tuple[str, ...] = ()
    rival_tasks: tuple[str, ...] = ()
    shots: tuple[int, ...] = (10,)
    seeds: int = 2
    extractors: int = 1
    rivals: tuple[str, ...] = ("unrolled",)
    horizons: tuple[int, ...] = (100, 300, 900)
    runs: int = 5
    papers: bool = True
    brief: bool = False
    images: int = 300

    def cells(self, data: Data, only: tuple[str, ...] = ()) -> Iterator[Cell]:
        """Seeds outermost: what is there when a run is stopped is balanced."""
        for seed in range(self.seeds):
            for shots in self.shots:
                for task in self.suite(data, only):
                    yield Cell(task, shots, seed % self.extractors, seed)

    def suite(self, data: Data, only: tuple[str, ...] = ()) -> tuple[Task, ...]:
        wanted = only or self.tasks
        return tuple(task for task in suite(data) if not wanted or task.name in wanted)


def jobs(plan: Plan, data: Data, shop: Workshop) -> Iterator[Job]:
    """Everything that is kept as a row, the cheap work first."""
    for number in range(plan.extractors):
        for method, spec in extractors(data, number, plan.papers).items():
            name = {"part": "pretrain", "data": data.name, "method": method, "extractor": spec.key()}
            yield Job(name, partial(pretrained, data, number, method, spec, shop))
    for number in range(plan.extractors):
        name = {"part": "control", "data": data.name, "extractor": data.spec(number).key()}
        yield Job(name, partial(controlled, data, number, shop, plan.images))
    for cell in plan.cells(data):
        yield Job({"part": "amortised", **cell.name()}, partial(amortised, cell, shop, plan.papers, plan.brief))
    for cell in plan.cells(data, plan.rival_tasks):
        for method in plan.rivals:
            for horizon in plan.horizons:
                name = {"part": "rival", **cell.name(method.endswith(TRUNK)), "method": method}
                yield Job({**name, "horizon": horizon}, partial(rival, cell, shop, method, horizon))


def measured(plan: Plan, data: Data, shop: Workshop, book: Book, deadline: float) -> list[Row]:
    """All rows of one kind of images; timings are never taken from the file.

    Args:
        deadline: of `time.monotonic`, after which no run of a rival begins.
    """
    rows = [
        book.take(Job({"part": work.__name__, "data": data.name}, partial(work, data, shop, plan.runs)), again=True)
        for work in (searches, conditioning)
    ]
    for job in jobs(plan, data, shop):
        if job.name["part"] == "rival" and time.monotonic() > deadline:
            break
        rows.append(book.take(job))
        print(_line(rows[-1]), flush=True)
    return rows


def _line(row: Row) -> str:
    words = [str(row[key]) for key in ("part", "data", "task", "shots", "seed", "method", "horizon") if key in row]
    accuracy = row.get("accuracy")
    if isinstance(accuracy, dict):
        words.append(", ".join(f"{name} {accuracy[name]:.3f}" for name in ("descriptor", "all_on", "all_off")))
    elif accuracy is not None:
        words.append(f"{accuracy:.3f}")
    return " ".join(words)


def report(rows: list[Row], data: Data, figure: Mapping[str, float | None]) -> None:
    """For a reader."""
    print(f"\n{data.name}")
    for line in tables(rows):
        print(line)
    for name, value in figure.items():
        print(f"{name:52s} {'not measured' if value is None else f'{value:.4g}'}")


def reasons(figure: Mapping[str, float | None], quick: bool) -> dict[str, str]:
    """Why each figure without a value has none."""
    found = {}
    for name, value in figure.items():
        if value is not None:
            continue
        if name.startswith("pretrain_seconds"):
            found[name] = "--quick pre-trains another extractor" if quick else "the extractor came from the cache"
        elif name.endswith(("_low", "_high")):
            found[name] = "an interval needs two seeds"
        else:
            found[name] = "no time was left for a rival" if quick else "this run did not measure it"
    return found


def planned(options: argparse.Namespace) -> Plan:
    """The plan of the command line."""
    settings = {} if options.horizon is None else {"horizon": options.horizon}
    known = sources(options.mnist, options.images)
    if options.quick:
        settings = settings or {"horizon": QUICK_UPDATES}
        plan = Plan(
            (digits(Quality.QUICK),), QUICK_TASKS, ("rotation",), horizons=(60,), runs=1, papers=False, brief=True,
            images=150,
        )
    elif options.full:
        plan = Plan(
            tuple(known.values()), shots=(5, 10, 50), seeds=5, extractors=5, rivals=RIVALS, horizons=(75, 200, 600),
        )
    else:
        plan = Plan((known["digits"],), rival_tasks=QUICK_TASKS)
    names = ("tasks", "rival_tasks", "shots", "seeds", "extractors", "rivals", "horizons", "papers")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.data is not None:
        missing = sorted(set(options.data) - set(known))
        if missing:
            raise SystemExit(
                f"--data takes {', '.join(known)} (more with --mnist and --images), but got {', '.join(missing)}"
            )
        plan = replace(plan, data=tuple(known[name] for name in options.data))
    plan = replace(plan, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
    return replace(plan, data=tuple(replace(data, settings={**data.settings, **settings}) for data in plan.data))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="under 50 seconds on two cores")
    which.add_argument("--full", action="store_true", help="everything, for days")
    parser.add_argument("--data", nargs="+", help="kinds of images")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--rival-tasks", nargs="+")
    parser.add_argument("--shots", nargs="+", type=int, help="labels per class")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--extractors", type=int, help="pre-trainings with different seeds")
    parser.add_argument("--rivals", nargs="*", choices=RIVALS)
    parser.add_argument("--horizons", nargs="+", type=int, help="updates of a rival")
    parser.add_argument("--papers", action=argparse.BooleanOptionalAction, help="with the two extractors of controls")
    parser.add_argument("--horizon", type=int, help="updates of the pre-training, instead of the quality's own")
    parser.add_argument("--mnist", type=Path, default=os.environ.get("INVSEARCH_MNIST"), help="holds MNIST/raw")
    parser.add_argument("--images", type=Path, help="a folder of colour images, one sub-folder per class")
    parser.add_argument("--cache", type=Path, help="where extractors are kept; default: nowhere after this run")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "amortised.jsonl", help="rows of --full")
    parser.add_argument("--threads", type=int, default=2, choices=(1, 2))
    return parser.parse_args()


def main() -> None:
    began = time.monotonic()
    options = parsed()
    torch.set_num_threads(options.threads)
    plan = planned(options)
    found: dict[str, float | None] = {}
    commits: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        shop = Workshop((options.cache or Path(scratch)).resolve())
        book = Book(options.results if options.full else None)
        for data in plan.data:
            rows = measured(plan, data, shop, book, began + QUICK_SECONDS if options.quick else math.inf)
            commits |= {str(row["commit"]) for row in rows}
            figure = figures(rows)
            report(rows, data, figure)
            found |= {name if data.name == "digits" else f"{data.name}/{name}": v for name, v in figure.items()}
    found = {**dict.fromkeys(FIXED), **found}
    why = reasons(found, options.quick)
    for name, value in found.items():
        if value is not None and not math.isfinite(value):
            found[name], why[name] = None, "infinite: what it divides by is not positive"
    print(json.dumps({
        **found, "reasons": why, "seconds": time.monotonic() - began, "threads": options.threads,
        "tasks": len(plan.suite(plan.data[0])), "shots": plan.shots, "seeds": plan.seeds,
        "extractors": plan.extractors, "commits_of_rows": sorted(commits),
        "command": shlex.join(sys.argv), "provenance": collect(HERE),
    }))


if __name__ == "__main__":
    main()

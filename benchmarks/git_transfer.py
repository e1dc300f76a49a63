"""Generative invariance transfer: what the generator costs and keeps, and what finished sweeps say of long tails.

    python benchmarks/git_transfer.py --data ROOT               trains generators on MNIST's tail, one per nuisance
    python benchmarks/git_transfer.py --sweeps SWEEP [SWEEP ...]  slopes of rows, and each against delayed resampling

ROOT is the folder that torchvision's MNIST lies in. Rows of the first are kept below benchmarks/results/ with their
commit. The second gives each figure with two 95 % t-intervals: over orders of classes, each the mean over its seeds, in
brackets over all runs (order x seed), which takes seeds that share their data for independent. A row that several
sweeps have counts once, and must be the same in all; differences are from delayed resampling of the row's own sweep.
(Not named git.py: a script's folder comes first on the path, and MLflow imports a package of that name.)
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from alone import run
from row_book import Book, Job, Row
from tail_rows import REFERENCE, Kept, family, gathered
from told import told
from torch import Generator

from search.row import Row as Line
from search.statistics import Estimate, estimate
from search.tail_parts import NUISANCES, mnist_tail
from tracking.cost import Meter, Phase
from tracking.provenance import device_name
from trainables.making import made
from trainables.methods import oracle
from trainables.modules.generators.choice import GeneratorChoice
from trainables.modules.generators.kind import GeneratorKind
from trainables.modules.generators.transfer import load_transfer
from trainables.problems.problem import LEARNABLE, Problem, Split
from trainables.problems.spec import ProblemSpec

HERE = Path(__file__).resolve().parent
BATCH, BATCHES = 256, 8  # of the generation's timing
JUDGE_UPDATES = 700
KIND = {
    "background": GeneratorKind.STYLE, "stroke": GeneratorKind.STYLE, "rotation": GeneratorKind.SPATIAL,
    "tilt": GeneratorKind.SPATIAL,
}
SHOWN = ("ekld/slope", "ekld_scaled/slope", "ekld/head", "ekld/tail", "accuracy/mean", "accuracy/head", "accuracy/tail")
BARS = {"generator_minutes": "< 15", "images_per_second_core": ">= 500", "peak_gib": "< 2", "label_kept": ">= 0.9",
        "reconstruction": "< 0.05"}


def generator_row(nuisance: str, root: Path, folder: Path) -> Row:
    """Train one generator on one thread, and measure it."""
    torch.set_num_threads(1)
    spec = ProblemSpec.model_validate(_at(mnist_tail(nuisance, 0), root))
    choice = GeneratorChoice(kind=KIND[nuisance])
    problem = spec.build(0, 0, folder)
    meter = Meter("cpu")
    meter.reset_peaks()
    wall = time.perf_counter()
    artefact = made(choice.spec(spec, 0), folder)
    wall = time.perf_counter() - wall
    cost, peak = artefact.ledger.phases[Phase.PRETRAIN], meter.ledger().peak_host_bytes
    transfer = load_transfer(artefact.state, problem.shape, torch.device("cpu"))
    batch = problem.view().unlabelled_balanced(Generator().manual_seed(0), BATCH)  # type: ignore[attr-defined]
    transfer.sample(batch, Generator().manual_seed(0))
    began = time.process_time()
    for seed in range(BATCHES):
        transfer.sample(batch, Generator().manual_seed(seed))
    seconds = time.process_time() - began
    return {
        "part": "generator", "nuisance": nuisance, "kind": str(choice.kind),
        "hardware": device_name(torch.device("cpu")),
        "generator_minutes": wall / 60, "generator_cpu_seconds": cost.cpu_seconds,
        "peak_gib": None if peak is None else peak / 2**30, "images_per_second_core": BATCH * BATCHES / seconds,
        "label_kept": label_kept(problem, nuisance, root, folder, transfer), **transfer.describe(),
        "collapsed": transfer.collapsed(),
    }


def label_kept(problem: Problem, nuisance: str, root: Path, folder: Path, transfer: Any) -> float:
    """Share of generated images, every class as often, that a classifier of balanced varied images knows."""
    balanced = _at(mnist_tail(nuisance, 0), root)
    balanced["wrappers"][0] |= {"ratio": 1.0, "ranges": {}}
    judge = run(
        oracle.Config(ranges=NUISANCES[nuisance]), ProblemSpec.model_validate(balanced).build(0, 0, folder), 0,
        JUDGE_UPDATES,
    )
    classes = torch.arange(10).repeat_interleave(100)
    x, y = problem.view().draw_classes(Generator().manual_seed(1), classes, *LEARNABLE)  # type: ignore[attr-defined]
    made_of = transfer.sample(x, Generator().manual_seed(2))
    print(f"  judge: {judge.score(problem, Split.TEST):.3f} of test images, {_share(judge, x, y):.3f} of the originals")
    return _share(judge, made_of, y)


Both = tuple[Estimate | None, Estimate | None]  # over orders, over runs


def overall(lines: Sequence[Line], name: str) -> Both:
    """Of one method's values on several orders."""
    return _both([list(line.classes.get(name, {}).values()) for line in lines])


def against(found: Sequence[Kept], name: str) -> Both:
    """The same of differences, paired by seed, from delayed resampling on the same order in the same sweep."""
    values = []
    for one in found:
        if one.reference is not None:
            own, theirs = one.row.classes.get(name, {}), one.reference.classes.get(name, {})
            values.append([own[seed] - theirs[seed] for seed in sorted(own.keys() & theirs.keys())])
    return _both(values)


def _both(values: Sequence[Sequence[float]]) -> Both:
    known = [list(one) for one in values if one]
    return estimate([fmean(one) for one in known]), estimate([value for one in known for value in one])


def sweep_table(places: Sequence[str]) -> Iterator[str]:
    """Lines of Markdown: per nuisance (a problem's label without its order) and method."""
    found = gathered(places)
    for nuisance in dict.fromkeys(family(one.row.problem) for one in found):
        here = [one for one in found if family(one.row.problem) == nuisance]
        yield f"\n## {nuisance}: {len({one.row.problem for one in here})} orders"
        gained = [f"tail {what} over {REFERENCE}" for what in ("accuracy", "eKLD")]
        yield "| " + " | ".join(["method", *SHOWN, *gained, "total, plain trainings"]) + " |"
        yield "|---" * (len(SHOWN) + 4) + "|"
        for method in dict.fromkeys(one.row.method for one in here):
            own = [one for one in here if one.row.method == method]
            cells = [_cell(overall([one.row for one in own], name)) for name in SHOWN]
            gaps = [_cell(against(own, name), "+") for name in ("accuracy/tail", "ekld/tail")]
            spent = everything([one.row for one in own])
            yield f"| {method} | " + " | ".join([*cells, *gaps, "-" if spent is None else f"{spent:.1f}"]) + " |"


def everything(lines: Sequence[Line]) -> float | None:
    """What led to the rows that have scores, in plain trainings; a study that gave up led to none."""
    spent = [line.multiples(line.total.flops) for line in lines if line.test is not None]
    known = [cost for cost in spent if cost is not None]
    return fmean(known) if known else None


def _cell(found: Both, sign: str = "") -> str:
    """"-0.58 [-1.2, +0.01] ([-0.65, -0.5])"."""
    orders, runs = found
    if orders is None:
        return "-"
    inner = "" if runs is None or runs.low is None else f" ({_interval(runs, sign)})"
    return f"{orders.mean:{sign}.3g}" + ("" if orders.low is None else f" {_interval(orders, sign)}") + inner


def _interval(found: Estimate, sign: str) -> str:
    return f"[{found.low:{sign}.2g}, {found.high:{sign}.2g}]"


def _share(judge: Any, x: torch.Tensor, y: torch.Tensor) -> float:
    return float((judge.method.predict(x).argmax(-1) == y).float().mean())


def _at(problem: dict[str, Any], root: Path) -> dict[str, Any]:
    return {**problem, "source": {**problem["source"], "root": str(root)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--nuisances", nargs="+", default=["background", "stroke"], choices=list(KIND))
    parser.add_argument("--sweeps", nargs="+", default=[])
    parser.add_argument("--again", action="store_true", help="measure what is in the book already")
    arguments = parser.parse_args()
    if arguments.data is not None:
        book = Book(HERE / "results" / "git.jsonl")
        for nuisance in arguments.nuisances:
            with tempfile.TemporaryDirectory() as folder:
                job = Job({"part": "generator", "nuisance": nuisance},
                          lambda nuisance=nuisance, folder=folder: generator_row(  # type: ignore[misc]
                              nuisance, arguments.data, Path(folder)))
                row = book.take(job, arguments.again)
            print(nuisance)
            for name, value in row.items():
                print(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}",
                      f"(asked {BARS[name]})" if name in BARS else "")
    for line in sweep_table(arguments.sweeps):
        print(line)


if __name__ == "__main__":
    with told():
        main()

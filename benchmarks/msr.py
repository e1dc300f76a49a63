"""Meta-learned symmetries on layer problems beside what the method sheet measured: `python benchmarks/msr.py`.

One linear layer learns to learn from tasks with a planted sharing pattern, one support example each; MSE on 2,000 test
tasks, the recovered column space, and how equivariant adapted layers are. `published` rows start inner rates at .1 and
move them by Adam's .001, as the published code does; the rot8 rows with rates of 12 show what that alone is worth.
Speed: an outer update against plain loops over tasks, in turns, CPU-seconds of one thread; the published code's way of
looping needs `pip install higher` (without it that figure is null).

    --quick  rank1 at 400 updates and the speed; under 50 seconds
    (none)   all one-dimensional rows, one seed: about five minutes
    --full   three seeds and the two-dimensional rows: about an hour; resumes from benchmarks/results/msr.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from msr_loops import handwritten, loop, published, unbatched
from row_book import Book, Job, Row
from torch import Tensor

from tracking.cost import Meter
from tracking.provenance import collect
from trainables import methods
from trainables.method import Context
from trainables.modules.group_sharing import principal_cosines, shift_error, turn_error
from trainables.modules.meta_training import MetaTraining
from trainables.modules.networks import builder
from trainables.problems.layers import Config as Layers
from trainables.problems.patterns import Layer
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.store import cache_folder
from trainables.problems.tasks import TaskProblem

HERE = Path(__file__).resolve().parent
ROWS = HERE / "results" / "msr.jsonl"
TEST_TASKS, PROBED = 2000, 50
PUBLISHED: dict[str, Any] = {
    "rate_form": "linear", "inner_rate": 0.1, "decay": False, "outer_learning_rate": 1e-3, "inner_steps": 1,
}
THREE = {**PUBLISHED, "inner_steps": 3}
TUNED: dict[str, Any] = {"outer_learning_rate": 3e-3, "inner_rate": 1.0, "inner_steps": 1}  # rates as logarithms, decay
FULL: dict[str, Any] = {"architecture": "dense", "pattern": "full"}
CONV: dict[str, Any] = {"architecture": "convolution"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One line of the table.

    Args:
        sheet: the MSE that the method sheet gives.
    """

    layer: Layer
    label: str
    method: str
    updates: int
    settings: dict[str, Any]
    sheet: float | None


ONE_DIMENSIONAL = (
    Arm(Layer.RANK1, "full, 1 step", "msr", 1000, {**FULL, "latent": 3, **PUBLISHED}, 0.177),
    Arm(Layer.RANK1, "convolution, 1 step", "maml", 1000, {**CONV, **PUBLISHED}, 0.165),
    Arm(Layer.RANK1, "full, 3 steps", "msr", 1000, {**FULL, "latent": 3, **THREE}, 0.008),
    Arm(Layer.RANK1, "convolution, 3 steps", "maml", 1000, {**CONV, **THREE}, 0.012),
    Arm(Layer.RANK1, "dense, 3 steps", "maml", 1000, {"architecture": "dense", **THREE}, 2.95),
    Arm(Layer.RANK1, "local, 3 steps", "maml", 1000, {"architecture": "local", **THREE}, 2.63),
    Arm(Layer.RANK1, "gain, 3 steps", "msr", 1000, {"architecture": "dense", "pattern": "gain", **THREE}, None),
    Arm(Layer.RANK1, "diagonal, 3 steps", "msr", 1000, {"architecture": "dense", "pattern": "diagonal", **THREE}, None),
    Arm(Layer.RANK2, "full, 3 steps", "msr", 2000, {**FULL, "latent": 6, **THREE}, 0.032),
    Arm(Layer.RANK2, "convolution, 3 steps", "maml", 2000, {**CONV, **THREE}, 0.416),
    Arm(Layer.RANK5, "full, 3 steps", "msr", 2000, {**FULL, "latent": 30, **THREE}, 0.086),
    Arm(Layer.RANK5, "convolution, 3 steps", "maml", 2000, {**CONV, **THREE}, 0.370),
)
ROT8: dict[str, Any] = {"architecture": "convolution", "latent": 18}
TWO_DIMENSIONAL = (
    Arm(Layer.ROT8, "full, published rate", "msr", 1000, {**ROT8, "pattern": "full", **PUBLISHED}, 0.0025),
    Arm(Layer.ROT8, "full, tuned", "msr", 1000, {**ROT8, "pattern": "full", **TUNED}, None),
    Arm(Layer.ROT8, "full, tuned, 3 steps", "msr", 1000, {**ROT8, "pattern": "full", **TUNED, "inner_steps": 3}, None),
    Arm(Layer.ROT8, "convolution, published rate", "maml", 1000, {**CONV, **PUBLISHED}, 0.533),
    Arm(Layer.ROT8, "convolution, rate 12", "maml", 300, {**CONV, **PUBLISHED, "inner_rate": 12.0}, 0.0070),
    Arm(Layer.ROT8, "kronecker, published rate", "msr", 1000, {**ROT8, "pattern": "kronecker", **PUBLISHED}, 0.0054),
    Arm(Layer.ROT8, "kronecker, rate 12", "msr", 300, {**ROT8, "pattern": "kronecker", **PUBLISHED, "inner_rate": 12.0},
        0.0066),
)


def problem_of(layer: Layer) -> TaskProblem:
    spec = ProblemSpec(label=layer, source={"name": "layers", "layer": layer})
    built = spec.build(0, 0, cache_folder())
    assert isinstance(built, TaskProblem)
    return built


def trained(problem: TaskProblem, arm: Arm, updates: int, seed: int) -> tuple[MetaTraining, float]:
    """After so many outer updates, and their CPU-seconds."""
    meter = Meter("cpu")
    context = Context(
        problem=problem.view(meter), horizon=updates, slice_updates=updates, seed=seed, device=torch.device("cpu"),
        meter=meter, network=builder("mlp"),
    )
    method = methods.config_class(arm.method).model_validate(arm.settings).build(context)
    assert isinstance(method, MetaTraining)
    start = time.process_time()
    method.step()
    return method, time.process_time() - start


def measured(arm: Arm, updates: int, seed: int) -> Row:
    """One training, judged on test tasks."""
    torch.set_num_threads(1)
    problem = problem_of(arm.layer)
    method, seconds = trained(problem, arm, updates, seed)
    losses = [
        float(problem.loss(method.predict(query.x, support), query.y).mean())
        for support, query in problem.judged(Split.TEST, TEST_TASKS)
    ]
    cosines = recovered(method, arm.layer)
    return {
        "layer": arm.layer, "arm": arm.label, "updates": updates, "seed": seed, "mse": statistics.mean(losses),
        "cpu_seconds": seconds, "min_cosine": None if cosines is None else float(cosines.min()),
        "cosines_above_999": None if cosines is None else int((cosines > 0.999).sum()),
        "equivariance_error": equivariance(method, problem, arm.layer),
        "rates": {name: value for name, value in method.describe().items() if name.startswith("rate/")},
    }


def recovered(method: MetaTraining, layer: Layer) -> Tensor | None:
    """Cosines of the principal angles between U and the planted pattern; None where there is no free U."""
    free = [value for name, value in method.slow.items() if name.endswith("pattern")]
    truth = torch.from_numpy(Layers(layer=layer).pattern(0).matrix)
    return principal_cosines(free[0].detach(), truth) if len(free) == 1 else None


def equivariance(method: MetaTraining, problem: TaskProblem, layer: Layer) -> float | None:
    """Mean over adapted tasks: by one position in one dimension, by 90 degrees in two; None without such a W."""
    support, _ = next(problem.judged(Split.TEST, PROBED))
    adapted = method.weights(support)
    if adapted is None:
        return None
    return float((turn_error(adapted) if layer is Layer.ROT8 else shift_error(adapted)).mean())


def speed(turns: int = 5, steps: int = 40, looped: int = 4) -> Row:
    """CPU-seconds of an outer update of rank1 (32 tasks, one inner step), and how many times that each loop takes."""
    torch.set_num_threads(1)
    problem = problem_of(Layer.RANK1)
    method, _ = trained(problem, ONE_DIMENSIONAL[0], 1, 0)
    loops = {
        "unbatched": unbatched(problem, method), "loop": loop(problem, method), "published": published(problem, method),
        "handwritten": handwritten(problem, method),
    }
    sides = {"own": (method._update, steps), **{n: (side, looped) for n, side in loops.items() if side is not None}}
    taken = [{name: _seconds(side, count) for name, (side, count) in sides.items()} for _ in range(turns)]
    return {
        "part": "speed", "update_cpu_seconds": statistics.median(turn["own"] for turn in taken),
        **{f"{name}_ratio": statistics.median(turn[name] / turn["own"] for turn in taken) if name in sides else None
           for name in loops},
    }


def _seconds(work: Callable[[], object], count: int) -> float:
    """CPU-seconds of one of `count` calls."""
    start = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - start) / count


def table(rows: list[Row], arms: tuple[Arm, ...]) -> str:
    """Means over seeds, with the smallest and largest where there are several, beside the sheet's figure."""
    names = f"{'min cos':>9}{'> .999':>8}{'equiv.':>8}{'CPU s':>7}"
    lines = [f"{'layer':10}{'arm':28}{'updates':>8}{'MSE':>26}{'sheet':>8}{names}"]
    for arm in arms:
        own = [row for row in rows if (row.get("layer"), row.get("arm")) == (arm.layer, arm.label)]
        if not own:
            continue
        mse = [row["mse"] for row in own]
        spread = f"{statistics.mean(mse):.4f}" + (f" ({min(mse):.4f}-{max(mse):.4f})" if len(mse) > 1 else "")
        cells = (_mean(own, "min_cosine", 4), _least(own, "cosines_above_999"), _mean(own, "equivariance_error", 3))
        lines.append(
            f"{arm.layer:10}{arm.label:28}{own[0]['updates']:>8}{spread:>26}{arm.sheet if arm.sheet else '-':>8}"
            f"{cells[0]:>9}{cells[1]:>8}{cells[2]:>8}{_mean(own, 'cpu_seconds', 1):>7}"
        )
    return "\n".join(lines)


def _mean(rows: list[Row], key: str, digits: int) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return f"{statistics.mean(values):.{digits}f}" if values else "-"


def _least(rows: list[Row], key: str) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return str(min(values)) if values else "-"


def figures(rows: list[Row], fast: Row, quick: bool) -> dict[str, Any]:
    """The fixed keys; null where this run did not measure."""

    def of(layer: Layer, label: str, key: str) -> float | None:
        values = [row[key] for row in rows if (row.get("layer"), row.get("arm")) == (layer, label)]
        return statistics.mean(values) if values else None

    found = {
        "rank1_mse_msr": of(Layer.RANK1, "full, 3 steps", "mse"),
        "rank1_mse_conv": of(Layer.RANK1, "convolution, 3 steps", "mse"),
        "rank1_min_cosine": of(Layer.RANK1, "full, 3 steps", "min_cosine"),
        "rot8_mse_full_u": of(Layer.ROT8, "full, tuned", "mse"),
        "rot8_equivariance_error_full_u": of(Layer.ROT8, "full, tuned", "equivariance_error"),
        "rank1_cpu_seconds_1000_steps": 1000 * fast["update_cpu_seconds"],
        "speedup_vs_published_loop": fast["published_ratio"],
        "speedup_vs_loop": fast["loop_ratio"], "speedup_vs_same_code_unbatched": fast["unbatched_ratio"],
        "speedup_vs_handwritten_loop": fast["handwritten_ratio"],
    }
    missing = [name for name, value in found.items() if value is None]
    reason = {"null": f"{', '.join(missing)}: measured with --full only"} if missing else {}
    shortened = {"note": "--quick: rank1 at 400 updates"} if quick else {}
    return {**found, **reason, **shortened, "provenance": collect(HERE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    chosen = parser.parse_args()
    book = Book(ROWS if chosen.full else None)
    arms = ONE_DIMENSIONAL[2:4] if chosen.quick else (*ONE_DIMENSIONAL, *(TWO_DIMENSIONAL if chosen.full else ()))
    fast = speed()
    rows = []
    for arms_together in (ONE_DIMENSIONAL, TWO_DIMENSIONAL):
        for seed, arm in product(range(3 if chosen.full else 1), [arm for arm in arms if arm in arms_together]):
            updates = 400 if chosen.quick else arm.updates
            name: Row = {"layer": arm.layer, "arm": arm.label, "updates": updates, "seed": seed}
            rows.append(book.take(Job(name, lambda a=arm, u=updates, s=seed: measured(a, u, s))))  # type: ignore[misc]
    print(table(rows, arms))
    theirs = fast["published_ratio"]
    print(
        f"outer update {1000 * fast['update_cpu_seconds']:.1f} CPU-ms; times that: the published code's loop "
        f"{'(higher is not installed)' if theirs is None else f'{theirs:.1f}'}, our code task by task "
        f"{fast['unbatched_ratio']:.1f}, a loop with ordinary autograd {fast['loop_ratio']:.1f}, one written by hand "
        f"for this layer {fast['handwritten_ratio']:.1f}"
    )
    print(json.dumps(figures(rows, fast, chosen.quick)))


if __name__ == "__main__":
    main()

"""From the rows of benchmarks/amortised.py to its figures: paired differences, intervals, the rivals' budgets.

A difference is paired by cell (task, shots, seed), averaged over the tasks of one sort, and its 95 % t-interval is over
seeds. Fractions, not percentages; of real targets "accuracy" is the share of their variance that is explained.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from scipy.stats import t as student

Row = dict[str, Any]
SORTS = ("clean", "helpful", "harmful", "outside", "natural", "amount", "ink")
CONTROLS = (
    "all_on", "all_off", "unconditional", "random", "oracle", "oracle_rest_off", "corners", "descriptor_gradient",
    "descriptor_corners", "hyperinvariances",
)
EQUAL = 0.01  # accuracies are called equal where the lower end of the interval is above minus this
# Pairs of factors that are allowed to leak: each transformation contains a part of the other.
RELATED = (frozenset(("rotation", "shear")), frozenset(("scale", "translation")))


class Interval(NamedTuple):
    """A mean and its 95 % t-interval; without one for a single value."""

    mean: float
    low: float | None
    high: float | None


def interval(values: Sequence[float]) -> Interval:
    """Of independent values, at least one."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    half = float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def over_seeds(rows: Iterable[Row], value: Callable[[Row], float]) -> Interval | None:
    """The mean over tasks and shots within a seed, then the interval over seeds; None without rows."""
    by_seed: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        by_seed[row["seed"]].append(value(row))
    return interval([statistics.fmean(values) for values in by_seed.values()]) if by_seed else None


def difference(rows: Iterable[Row], other: str) -> Interval | None:
    """Accuracy of the chosen descriptor minus that of `other`, where both were measured."""
    both = [row for row in rows if other in row["accuracy"]]
    return over_seeds(both, lambda row: row["accuracy"]["descriptor"] - row["accuracy"][other])


def worst_leak(row: Row) -> float:
    """Largest |dS_j| / dS_k over pairs k != j that are not related; infinite where entry k does nothing."""
    factors, moved = row["factors"], row["leakage"]
    return max(
        (abs(moved[k][j]) / moved[k][k] if moved[k][k] > 0 else math.inf)
        for k, one in enumerate(factors) for j, other in enumerate(factors)
        if k != j and frozenset((one, other)) not in RELATED
    )


def charged(rows: Sequence[Row]) -> int:
    """The cheapest horizon of a rival within one standard error of its own best, by the score on select.

    Mean over the cells that have every horizon; the standard error is of the paired difference to the best.
    """
    by_cell: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for row in rows:
        by_cell[cell(row)][row["horizon"]] = row["select"]
    horizons = sorted({row["horizon"] for row in rows})
    whole = [scores for scores in by_cell.values() if len(scores) == len(horizons)]
    if not whole:
        return horizons[-1]
    best = max(horizons, key=lambda h: statistics.fmean(scores[h] for scores in whole))
    for horizon in horizons:
        behind = [scores[best] - scores[horizon] for scores in whole]
        error = statistics.stdev(behind) / math.sqrt(len(behind)) if len(behind) > 1 else 0.0
        if statistics.fmean(behind) <= error:
            return horizon
    raise AssertionError("the best is within one error of itself")


def cell(row: Row) -> tuple[Any, ...]:
    """What is paired."""
    return row["task"], row["shots"], row["data_seed"], row["seed"]


class Against(NamedTuple):
    """The chosen descriptor against a rival at the rival's charged budgets.

    Args:
        horizons: by shots.
        rising: whether a rival's best is the longest that was tried, so that it might have become better still.
        difference: of accuracies, descriptor minus rival.
        cost_ratio: FLOPs of the rival over those of the descriptor, per task; the pre-training apart.
        seconds_ratio: the same of wall time.
        break_even: tasks after which pre-training is paid for; infinite where a task costs no less.
        cells: compared.
    """

    horizons: Mapping[int, int]
    rising: bool
    difference: Interval
    cost_ratio: float
    seconds_ratio: float
    break_even: float | None
    cells: int


def against(amortised: Sequence[Row], rivals: Sequence[Row], name: str, pretraining: float | None) -> Against | None:
    """None where the rival was not run on any cell.

    Args:
        pretraining: FLOPs.
    """
    ours = {cell(row): row for row in amortised}
    mine = [row for row in rivals if row["method"] == name and cell(row) in ours]
    if not mine:
        return None
    horizons = {
        shots: charged([row for row in mine if row["shots"] == shots]) for shots in sorted({r["shots"] for r in mine})
    }
    kept = [row for row in mine if row["horizon"] == horizons[row["shots"]]]
    longest = max(row["horizon"] for row in mine)
    rising = longest > min(row["horizon"] for row in mine) and longest in horizons.values()
    spread = over_seeds(kept, lambda row: ours[cell(row)]["accuracy"]["descriptor"] - row["accuracy"])
    assert spread is not None
    sums = {
        what: (sum(row[what] for row in kept), sum(ours[cell(row)][what]["descriptor"] for row in kept))
        for what in ("flops", "seconds")
    }
    saved = (sums["flops"][0] - sums["flops"][1]) / len(kept)
    even = None if pretraining is None else pretraining / saved if saved > 0 else math.inf
    ratios = {what: theirs / own for what, (theirs, own) in sums.items()}
    return Against(horizons, rising, spread, ratios["flops"], ratios["seconds"], even, len(kept))


def figures(rows: Sequence[Row]) -> dict[str, float | None]:
    """All figures of one kind of data; what was not measured is None or missing."""
    part = {name: [row for row in rows if row["part"] == name] for name in
            ("amortised", "rival", "control", "pretrain", "searches", "conditioning")}
    found: dict[str, float | None] = {**_control(part["control"]), **_timing(part), **_differences(part["amortised"])}
    costs = [row["flops"] for row in part["pretrain"] if row["method"] == "descriptor"]
    pretraining = statistics.fmean(costs) if costs else None
    for name in sorted({row["method"] for row in part["rival"]} | {"unrolled"}):
        found |= _against(name, against(part["amortised"], part["rival"], name, pretraining))
        for sort in SORTS:  # where an invariance helps and where it harms are different questions
            mine = [row for row in part["amortised"] if row["sort"] == sort]
            if (apart := against(mine, part["rival"], name, pretraining)) is not None:
                found |= {f"{key}_{sort}": value for key, value in _against(name, apart).items()}
    return found


def _against(name: str, found: Against | None) -> dict[str, float | None]:
    """Keys of one rival; a rival on the same trunk needs the same pre-training, so it has no break-even."""
    cost, gain = f"cost_ratio_{name}_over_descriptor", f"accuracy_difference_vs_{name}"
    even = "break_even_tasks" if name == "unrolled" else f"break_even_tasks_vs_{name}"
    if found is None:
        return dict.fromkeys((cost, gain, f"{gain}_low", f"{gain}_high", even))
    low = found.difference.low
    return {
        cost: found.cost_ratio, cost.replace("cost", "seconds"): found.seconds_ratio,
        gain: found.difference.mean, f"{gain}_low": low, f"{gain}_high": found.difference.high,
        f"no_worse_than_{name}": None if low is None else float(low > -EQUAL), f"cells_vs_{name}": found.cells,
        f"still_rising_{name}": float(found.rising),
        **({} if name.endswith("_trunk") else {even: found.break_even}),
        **{f"horizon_{name}_at_{shots}": horizon for shots, horizon in found.horizons.items()},
    }


def _control(rows: Sequence[Row]) -> dict[str, float | None]:
    if not rows:
        return dict.fromkeys(("spearman_min", "span_min", "leakage_max"))
    return {
        "spearman_min": min(value for row in rows for rest in row["spearman"] for value in rest),
        "span_min": min(value for row in rows for rest in row["span"] for value in rest),
        "leakage_max": max(map(worst_leak, rows)),
        "effective_rank_min_share": min(row["effective_rank_min"] / row["features"] for row in rows),
        "norm_ratio_max": max(row["norm_ratio"] for row in rows),
    }


def _timing(part: Mapping[str, Sequence[Row]]) -> dict[str, float | None]:
    made = [
        row for row in part["pretrain"]
        if row["method"] == "descriptor" and row["seconds"] is not None and not row["changed"]
    ]
    searches: Row = part["searches"][-1] if part["searches"] else {}
    cost: Row = part["conditioning"][-1] if part["conditioning"] else {}
    by_quality = {
        quality: statistics.median([row["seconds"] for row in made if row["quality"] == quality])
        for quality in sorted({row["quality"] for row in made})
    }
    return {
        "pretrain_seconds_digits": by_quality.get("standard"),
        **{f"pretrain_seconds_{quality}": seconds for quality, seconds in by_quality.items()},
        "search_seconds_gradient_n500": searches.get("gradient"),
        "search_seconds_corners_n500": searches.get("corners"),
        "search_seconds_all_corners_n500": searches.get("corners_all"),
        "search_seconds_menu_n500": searches.get("menu"),
        "search_peak_mib": searches.get("peak_mib"), "conditioning_cost_ratio": cost.get("ratio"),
    }


def _differences(rows: Sequence[Row]) -> dict[str, float | None]:
    if not rows:
        return {"within_one_se_fraction": None}
    found: dict[str, float | None] = {
        "within_one_se_fraction": statistics.fmean(row["behind"] <= row["behind_error"] for row in rows),
        "descriptor_gflops_per_task": statistics.fmean(row["flops"]["descriptor"] for row in rows) / 1e9,
        "descriptor_seconds_per_task": statistics.fmean(row["seconds"]["descriptor"] for row in rows),
    }
    for sort in SORTS:
        mine = [row for row in rows if row["sort"] == sort]
        for shots in sorted({row["shots"] for row in mine}):
            some = [row for row in mine if row["shots"] == shots]
            found[f"within_one_se_fraction_{sort}_at_{shots}"] = statistics.fmean(
                row["behind"] <= row["behind_error"] for row in some
            )
        for other in CONTROLS:
            between = difference(mine, other)
            if between is not None:
                name = f"{sort}_minus_{other}"
                found |= {name: between.mean, f"{name}_low": between.low, f"{name}_high": between.high}
    for term in ("empirical", "complexity", "price", "price_of_one", "total"):
        found[f"bound_{term}"] = statistics.fmean(row["bound"][term] for row in rows)
    return found


def tables(rows: Sequence[Row]) -> Iterable[str]:
    """Lines for a reader: accuracies by sort and shots, and by task."""
    amortised = [row for row in rows if row["part"] == "amortised"]
    columns = ["descriptor", *(c for c in CONTROLS if any(c in row["accuracy"] for row in amortised))]
    heads = [{"descriptor": "chosen", "descriptor_gradient": "gradient", "descriptor_corners": "halving",
              "oracle_rest_off": "oracle0", "unconditional": "uncond.", "hyperinvariances": "papers"}.get(c, c)
             for c in columns]
    yield f"{'accuracy':28s}" + "".join(f"{head:>10s}" for head in heads)
    groups = [(sort, [r for r in amortised if r["sort"] == sort]) for sort in SORTS]
    groups += [(f"  {task}", [r for r in amortised if r["task"] == task])
               for task in dict.fromkeys(row["task"] for row in amortised)]
    for name, mine in groups:
        for shots in sorted({row["shots"] for row in mine}):
            some = [row for row in mine if row["shots"] == shots]
            means = [[row["accuracy"][c] for row in some if c in row["accuracy"]] for c in columns]
            yield f"{f'{name} at {shots}':28s}" + "".join(
                f"{statistics.fmean(values):10.3f}" if values else f"{'-':>10s}" for values in means
            )
    rivals = [row for row in rows if row["part"] == "rival"]
    for name in sorted({row["method"] for row in rivals}):
        for shots in sorted({row["shots"] for row in rivals if row["method"] == name}):
            mine = [row for row in rivals if row["method"] == name and row["shots"] == shots]
            at = charged(mine)
            for horizon in sorted({row["horizon"] for row in mine}):
                some = [row for row in mine if row["horizon"] == horizon]
                yield (f"{f'{name} at {shots}, {horizon} updates':40s}"
                       f"accuracy {statistics.fmean(r['accuracy'] for r in some):.3f}, "
                       f"{statistics.fmean(r['flops'] for r in some) / 1e9:.1f} GFLOP, "
                       f"{statistics.fmean(r['seconds'] for r in some):.1f} s, {len(some)} cells"
                       + (" <- charged" if horizon == at else ""))

"""Do black boxes choose a rotation for a reason? `python benchmarks/black_box_drift.py SWEEP SWEEP ...`.

Reads finished sweeps of the recipe `missing_rotation` that differ in their seed. The expected strength of a policy's
rotation is its probability times its range, in degrees. Of every study:

- `moved`: the strength that was chosen less the mean of those that were tried;
- `rank`: Spearman's correlation of strength and select score among what was trained to the end (of populations: the
  last generation), which uses every trial and not the best one alone.

Where the labels that tuning goes by are shuffled both are zero but for chance; where turns are missing they are not.
Errors are standard errors over studies: |t| above 2.78 with five studies, 3.18 with four, is a false
alarm in one of twenty.

Prints one line per problem and method; nothing is kept.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scipy.stats import spearmanr
from told import told

from search.sound import sound
from search.sweep import Sweep
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place

CHOSEN = f"{Stage.RERUN}-1"
LEAST = 5  # trainings that a rank correlation is taken of


class Study(NamedTuple):
    """Of one problem and method in one sweep; degrees, but for `rank`."""

    problem: str
    method: str
    tried: float
    chosen: float
    rank: float | None


class Tried(NamedTuple):
    """One trial of a tuning."""

    generation: int
    strength: float
    score: float | None  # None where it was stopped early


def strength(event: Event) -> float | None:
    """Degrees; None where a method has no policy."""
    learned = (event["metrics"].get(f"learned/policy/rotation/{what}") for what in ("probability", "range_deg"))
    probability, degrees = learned
    return None if probability is None or degrees is None else probability * degrees


def studies(events: Sequence[Event]) -> Iterator[Study]:
    """Of a sweep, those that chose among several."""
    asked = {event["uid"]: event for event in events if event["kind"] == "asked"}
    tried: dict[tuple[str, str], list[Tried]] = defaultdict(list)
    chosen: dict[tuple[str, str], float] = {}
    for event in events:
        if event["kind"] != "ended" or (value := strength(event)) is None:
            continue
        about = asked[event["uid"]]
        study = about["problem"], about["method"]
        if about["stage"] == Stage.TUNE:
            complete = event["status"] == Status.COMPLETE
            score = event["metrics"].get("val/score") if complete else None
            tried[study].append(Tried(about.get("generation") or 0, value, score))
        elif event["uid"].endswith(CHOSEN):
            chosen[study] = value
    for study, values in tried.items():
        if study in chosen and len(values) > 1:
            mean = statistics.fmean(one.strength for one in values)
            yield Study(*study, mean, chosen[study], rank(values))


def rank(values: Sequence[Tried]) -> float | None:
    """Spearman's correlation of strength and score in the last generation; None where there is too little."""
    last = max(one.generation for one in values)
    pairs = [(one.strength, one.score) for one in values if one.generation == last and one.score is not None]
    if len(pairs) < LEAST or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def mean_and_error(values: Sequence[float]) -> str:
    """Mean, standard error and their ratio."""
    if len(values) < 2:
        return f"{values[0]:+.2f}" if values else "-"
    mean, error = statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.2f} +- {error:.2f} (t {mean / error:+.1f})" if error else f"{mean:+.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+")
    found: dict[tuple[str, str], list[Study]] = defaultdict(list)
    for folder in parser.parse_args().sweeps:
        for study in studies(sound(Sweep(Place.of(folder)).required())):
            found[study.problem, study.method].append(study)
    for (problem, method), every in sorted(found.items()):
        tried, chosen = (statistics.fmean(values) for values in ([s.tried for s in every], [s.chosen for s in every]))
        moved = mean_and_error([one.chosen - one.tried for one in every])
        ranks = mean_and_error([one.rank for one in every if one.rank is not None])
        print(f"{problem:16s} {method:13s} {len(every)} studies: tried {tried:.1f}, chosen {chosen:.1f} degrees, "
              f"moved {moved}, rank {ranks}")


if __name__ == "__main__":
    with told():
        main()

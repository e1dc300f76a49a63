"""What policy searches have found after 1, 2, 5 and 20 plain trainings: `python benchmarks/policy_budgets.py SWEEP`.

Reads a finished sweep of the recipe `policies` (or of any other) and confirms, on the same seeds and with the same
averaging as the sweep, what each study would have ended with at a smaller budget: the incumbent at that cost, by the
select split. What a method uses that was trained before counts, in full. A study whose first training had not ended by
then has nothing to show. Rows of `pba` have the population that their whole budget holds, so no prefix of one is a
smaller one: `pba-2` and `pba-5` are rows of their own.

The last column is what the sweep ended with, whatever that had cost; the column `spent` says what.

Every row is kept below benchmarks/results/ with its commit and a digest of its sweep, for a name may be given again. A
second call trains only what is missing, and reads what the sweep itself has from the sweep. Rows that were kept without
a digest are not taken, unless `--kept` is given and they have the same ends as the sweep.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from policy_rows import DIGEST, KEPT, check_old, digest, read_again, trained
from row_book import Book, Job, Row
from told import told

from search.account import Cost, trials
from search.course import Asked
from search.incumbents import Incumbent, at, incumbents
from search.jobs import Jobs
from search.made import pretraining
from search.method_spec import MethodSpec
from search.sound import sound
from search.statistics import Paired, estimate, holm, paired
from search.sweep import Sweep
from search.wanted import recorded
from tracking.errors import UserError
from tracking.journal import Event
from tracking.provenance import collect
from tracking.record import Stage, Status
from tracking.storage import Place
from trainables.assignment import FIRST_SEED, Assignment
from trainables.evolving import EvolvingConfig
from trainables.harness import Harness

HERE = Path(__file__).resolve().parent
BUDGETS = (1.0, 2.0, 5.0)
SLACK = 1.03  # policies cost a little beside the training that they are part of
CONTROL = "random_policy"  # the same space without a search


def confirmed(assignment: str, name: Row) -> Row:
    """One training of an incumbent, as the sweep's own confirm stage would do it."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        job = Assignment.model_validate_json(assignment).model_copy(update={"place": folder, "exports": ""})
        harness = Harness(job)
        report = harness.advance()
        while report.status is Status.RUNNING:
            report = harness.advance()
    return {**name, **{short: report.metrics[key] for short, key in KEPT.items()}, "flops": report.flops}


class Finished:
    """A sweep that has ended, and what it takes to train what it had found earlier.

    Raises:
        UserError: there is none, its journal is damaged, or it has not measured what a plain training costs.
    """

    def __init__(self, place: Place) -> None:
        self.sweep = Sweep(place).required()
        self.events: list[Event] = sound(self.sweep)
        self.comparison = self.sweep.comparison()
        self.units = {
            t.problem: t.flops for t in trials(self.events).values()
            if t.stage is Stage.UNIT and t.status is Status.COMPLETE
        }
        unknown = [problem.label for problem in self.comparison.problems if problem.label not in self.units]
        if unknown:
            raise UserError(
                "the plain training that budgets are counted in must have ended", f"not on {', '.join(unknown)}",
                "give a finished sweep",
            )
        self.digest, self._before = digest(self.events[0]), pretraining(self.events)
        self._jobs = Jobs(self.comparison, place, None, recorded(self.events))

    def studies(self) -> Iterator[tuple[str, str]]:
        for problem in self.comparison.problems:
            for method in self.comparison.methods:
                yield problem.label, method.key

    def _spec(self, row: str) -> MethodSpec:
        return next(m for m in self.comparison.methods if m.key == row)

    def _bred(self, row: str) -> bool:
        return issubclass(self._spec(row).config_class(), EvolvingConfig)

    def spent(self, problem: str, row: str) -> float:
        """By the tuning and what was trained before it, in plain trainings."""
        own = (t for t in trials(self.events).values() if (t.problem, t.method, t.stage) == (problem, row, Stage.TUNE))
        return (self._pretraining(problem, row) + sum(t.flops for t in own)) / self.units[problem]

    def _pretraining(self, problem: str, row: str) -> float:
        return self._before.get((problem, row), Cost()).flops

    def _at(self, found: Sequence[Incumbent], problem: str, row: str, budget: float) -> Incumbent | None:
        """What a study would have ended with; where trials are bred it is all of its generations, or nothing."""
        left = SLACK * budget * self.units[problem] - self._pretraining(problem, row)
        return at(found[-1:] if self._bred(row) else found, left)

    def _name(self, problem: str, row: str, incumbent: str, seed: int) -> Row:
        return {"sweep": self.sweep.name, DIGEST: self.digest, "problem": problem, "method": row,
                "incumbent": incumbent, "seed": seed}

    def ends(self) -> Iterator[Job]:
        """The sweep's own confirm trainings, at its whole budget; they are there."""
        for t in trials(self.events).values():
            if t.stage is Stage.RERUN and t.status is Status.COMPLETE:
                name = self._name(t.problem, t.method, "last", t.index)
                scores = {short: t.metrics[key] for short, key in KEPT.items()}
                yield Job(name, partial(dict, {**name, **scores, "flops": t.flops}))

    def earlier(self, budgets: Sequence[float]) -> Iterator[Job]:
        """The trainings that are to be made; budgets that end with the same incumbent share theirs."""
        for problem, row in self.studies():
            spec = self._spec(row)
            if self._bred(row):
                continue
            found = list(incumbents(self.events, problem, row))
            for budget in budgets:
                one = self._at(found, problem, row, budget)
                if one is None or one is found[-1]:
                    continue
                for seed in range(FIRST_SEED, FIRST_SEED + self.comparison.confirm_seeds):
                    asked = Asked(f"{one.uid}/seed-{seed}", Stage.RERUN, seed, dict(one.config))
                    job = self._jobs.assignment(problem, row, spec.name, asked)
                    name = self._name(problem, row, one.uid, seed)
                    yield Job(name, partial(confirmed, job.model_dump_json(), name))

    def table(self, made: Sequence[Row], budgets: Sequence[float]) -> list[Row]:
        """One row per problem, method, budget and seed; the sweep's own rows at every budget that ended with the last.

        Args:
            made: of `ends` and `earlier`.
        """
        found = []
        for problem, method in self.studies():
            own = [row for row in made if (row["problem"], row["method"]) == (problem, method)]
            line = list(incumbents(self.events, problem, method))
            found += [{**row, "budget": self.comparison.budget} for row in own if row["incumbent"] == "last"]
            for budget in budgets:
                if (one := self._at(line, problem, method, budget)) is not None:
                    named = "last" if one is line[-1] else one.uid
                    found += [{**row, "budget": budget} for row in own if row["incumbent"] == named]
        return found


def report(
    problem: str, rows: Sequence[Row], spent: Mapping[str, float], budgets: Sequence[float]
) -> dict[str, float | None]:
    """Prints a problem's table; returns its figures.

    Args:
        spent: by the tuning of each method and what was trained before it, in plain trainings.
    """
    methods = list(spent)
    print(f"\n{problem}: test accuracy in %, no averaging [95 %], by budget in plain trainings")
    heads = "".join(f"{f'{budget:g}x':>22s}" for budget in budgets)
    print(f"{'':28s}{heads}{'spent':>7s}{'over random, points':>30s}")
    scores: dict[tuple[str, float], Mapping[int, float]] = {
        (method, budget): {r["seed"]: r["accuracy"] for r in rows if (r["method"], r["budget"]) == (method, budget)}
        for method in methods for budget in budgets
    }
    figures: dict[str, float | None] = {}
    tests: dict[str, Paired] = {}
    for method in methods:
        own, control = scores[method, budgets[-1]], scores.get((CONTROL, budgets[-1]), {})
        common = sorted(own.keys() & control.keys())
        test = paired([own[s] for s in common], [control[s] for s in common])
        if method != CONTROL and test is not None:
            tests[method] = test
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    for method in methods:
        cells = []
        for budget in budgets:
            values = list(scores[method, budget].values())
            cells.append("-" if not values else _said(values))
            figures[f"{problem}/{method}/{budget:g}x"] = statistics.fmean(values) if values else None
        gain = ""
        if method in tests:
            d = tests[method].difference
            low, high = (100 * (end or 0.0) for end in (d.low, d.high))
            gain = f"{100 * d.mean:+.1f} [{low:.1f}, {high:.1f}] p {corrected[method]:.3f}"
            figures[f"{problem}/{method}/over_random"] = d.mean
            figures[f"{problem}/{method}/p_holm"] = corrected[method]
        print(f"{method:28s}" + "".join(f"{cell:>22s}" for cell in cells) + f"{spent[method]:7.1f}{gain:>30s}")
    better = [m for m, p in corrected.items() if p <= 0.05 and (figures[f"{problem}/{m}/over_random"] or 0) > 0]
    worse = [m for m, p in corrected.items() if p <= 0.05 and (figures[f"{problem}/{m}/over_random"] or 0) < 0]
    same = [m for m in corrected if m not in (*better, *worse)]
    print(f"{problem}: after Holm, better than {CONTROL}: {_list(better)}; worse: {_list(worse)}; no difference found: "
          f"{_list(same)}.")
    return figures


def _said(values: Sequence[float]) -> str:
    found = estimate([100 * v for v in values])
    assert found is not None
    return f"{found.mean:.1f}" + ("" if found.low is None else f" [{found.low:.1f}, {found.high:.1f}]")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def below(budgets: Sequence[float], whole: float) -> list[float]:
    """Those that a sweep had something smaller than its whole budget by; says which ones it never had."""
    if beyond := [budget for budget in budgets if budget > whole]:
        print(f"left out, since the sweep's own budget is {whole:g}: {', '.join(f'{one:g}x' for one in beyond)}",
              file=sys.stderr)
    return sorted({budget for budget in budgets if budget < whole})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", help="its folder")
    parser.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "policy_budgets.jsonl")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kept", action="store_true", help="take rows of before rows had a digest of their sweep")
    return parser.parse_args()


def main() -> None:
    options = _options()
    finished = Finished(Place.of(options.sweep))
    whole = finished.comparison.budget
    budgets, ends = below(options.budgets, whole), list(finished.ends())
    if options.kept:
        check_old(options.results, ends)
    book = Book(options.results)
    jobs = {json.dumps(job.name, sort_keys=True): job for job in finished.earlier(budgets)}
    earlier = trained(book, list(jobs.values()), options.processes, options.kept)
    rows, columns = finished.table([*read_again(book, ends), *earlier], budgets), [*budgets, whole]
    figures: dict[str, Any] = {}
    for problem in finished.comparison.problems:
        here = [row for row in rows if row["problem"] == problem.label]
        spent = {m.key: finished.spent(problem.label, m.key) for m in finished.comparison.methods}
        figures |= report(problem.label, here, spent, columns)
    first = finished.events[0]
    print(json.dumps({
        **figures, "commits_of_rows": sorted({str(row["commit"]) for row in earlier}),
        "commit_of_sweep": first.get("provenance", {}).get("commit"), "command": shlex.join(sys.argv),
        "provenance": collect(HERE),
    }))


if __name__ == "__main__":
    with told():
        main()

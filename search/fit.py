"""`invsearch fit FOLDER --minutes 5`: the user's own images, what they want, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search import cluster, fit_card, fit_plan, launch
from search import sweep as sweeps
from search.analysis import rows as analyse
from search.best_network import mean_select_scores
from search.dry_run import slots_of
from search.fit_findings import findings
from search.looking import standing_of
from search.notices import notices
from search.printing import console as a_console
from search.row import Row
from search.study import Comparison
from search.sweep import Sweep
from search.sweep_name import check_name, fresh_name
from search.words import duration
from tracking.errors import UserError
from tracking.journal import Event, of_kind
from tracking.storage import Place
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.image_files import folders_of_classes
from trainables.problems.problem import Problem, Split
from trainables.problems.spec import ProblemSpec


def fit(folder: Path, minutes: float, source: dict[str, Any], name: str | None, options: launch.Options) -> int:
    """Size the sweep, run it, and say what was found; an existing sweep of that name goes on. The exit code.

    Args:
        source: further fields of the problem source `folder`, such as `size`.

    Raises:
        UserError: no such folder, fewer than two classes, too few images, too few minutes, a name that is none or is
            taken, or results that would lie among the images.
    """
    base = sweeps.root(options.root)
    _apart(base, folder)
    chosen = fresh_name(f"fit-{fit_plan.label(folder)}") if name is None else name
    check_name(chosen)
    made = Sweep(base / chosen)
    if made.exists():
        _same(made, folder, source)
    if made.exists() and not sweeps.unbegun(made.place):
        # As long again from now on, whatever it has taken; one that has ended has no more to do.
        limit = 60 * (minutes * fit_plan.LIMIT + made_minutes(made))
        more = () if of_kind(made.events(), "sweep_done") else (f"limits.wall_seconds={limit:.0f}",)
        code = launch.resume(made.place.uri, options, more)
    else:
        sizing = _sized(folder, minutes, source, options)
        kind = launch.Kind(lambda *_: sizing)
        code = launch.compare(str(folder), chosen, (), (), options, name is not None, kind)
    tell(made)
    return code


def resume(name: str, options: launch.Options, overrides: Sequence[str], allow_drift: bool) -> int:
    """Go on with any sweep; of one that `fit` began the card is made again. The exit code."""
    code = launch.resume(name, options, overrides, allow_drift)
    made = sweeps.sought(name, options.root)
    if tried(made.comparison()):
        tell(made)
    return code


def tell(made: Sweep) -> None:
    """Print what was found and write the card, of a sweep that `fit` began and whose images are what they were."""
    comparison, events, console = made.comparison(), made.events(), a_console()
    spec = comparison.problems[0]
    if (why := _gone(spec, events)) is not None:
        console.print(f"no card is made: {why}", highlight=False, soft_wrap=True)
        return
    rows = [row for row in analyse(events) if row.problem == spec.label]
    units = next((event.get("units") or {} for event in events if event["kind"] == "sweep"), {})
    best, said = _best(rows, mean_select_scores(events, spec.label)), notices(rows, events)
    problem = spec.build(comparison.seed, 0, sweeps.cache_folder())
    assert isinstance(problem, ArrayProblem)  # what a folder makes
    found = findings(rows, tried(comparison), units, len(problem.examples(Split.TEST).y))
    untried = [factor for factor in tried(comparison) if factor not in {one.factor for one in found}]
    images, notes = described(problem), [*said, *problem.notes]
    written = fit_card.write(made, rows, found, best, images, notes, network_io(problem), untried)
    console.print()
    plain = fit_card.words(rows, found, best, images, untried)
    for line in [*(f"read with care: {notice}" for notice in said), *plain, ""]:
        console.print(line, highlight=False, markup=False)
    for place, one in enumerate(found, start=1):
        console.print(f"{place}. {one.sentence}", highlight=False, markup=False)
    names = ", ".join(path.name for path in written)
    console.print(f"\n{names}: {written[0].parent}", highlight=False, soft_wrap=True)


def _gone(spec: ProblemSpec, events: Sequence[Event]) -> str | None:
    """Why the images are not those that the sweep began with: of others the card would tell other classes."""
    began = next((event.get("data") or {} for event in events if event["kind"] == "sweep"), {}).get(spec.label)
    try:
        now = spec.fingerprint()
    except UserError as error:
        return f"{error.rule}: {error.got}"
    if began in (None, now):
        return None
    return f"the images in {spec.source['path']} have changed since the sweep began"


def made_minutes(made: Sweep) -> float:
    """What a sweep has taken so far."""
    return standing_of(made, made.events())[0].spending.wall_seconds() / 60


def _same(made: Sweep, folder: Path, source: dict[str, Any]) -> None:
    """Raises UserError where the sweep of that name is no `fit`, or one of other images."""
    comparison = made.comparison()
    if not tried(comparison):
        rule = "a name that is taken must be that of an earlier `fit`"
        raise UserError(rule, made.place, "choose another --name")
    began = comparison.problems[0].source
    asked = {"name": "folder", "path": str(folder.resolve()), **source}
    differ = [f"{key}: {began.get(key)} then, {asked[key]} now" for key in asked if began.get(key) != asked[key]]
    if differ:
        rule = "a `fit` goes on with the images that it began with"
        raise UserError(rule, "; ".join(differ), "choose another --name")


def _apart(base: Place, folder: Path) -> None:
    """Raises UserError where sweeps would lie among the images, and be read as a class of them."""
    inside = [one.resolve() for one in folders_of_classes(str(folder))]
    if base.local is not None and any(base.local.resolve().is_relative_to(one) for one in inside):
        rule, hint = "results may not lie among the images", f"--root {folder.resolve().parent / 'sweeps'}"
        raise UserError(rule, f"{base} in {folder}", hint)


def network_io(problem: ArrayProblem) -> list[str]:
    """What the network takes and gives, line by line."""
    channels, side = problem.shape[0], problem.shape[-1]
    return [
        f"Input: float32 (B, {channels}, {side}, {side}), {'grey' if channels == 1 else 'RGB'} in [0, 1]; upright as "
        f"EXIF says, the shorter side scaled to {side} pixels (bilinear, antialiased), the centre cut out.",
        "Output: (B, " + f"{problem.outputs}), a score for each class, in the order: "
        + ", ".join(f"{place} {name}" for place, name in enumerate(problem.classes)) + ".",
    ]


def described(problem: Problem) -> str:
    """One sentence on the data."""
    counts = [len(problem.examples(split).y) for split in Split]
    side, x = problem.shape[-1], problem.examples(Split.TRAIN).x
    colour = "grey" if bool((x == x[:, :1]).all()) else "colour"
    if colour == "grey" and x.shape[1] > 1:
        colour += " (`--grey` reads one channel of them)"
    return (
        f"{sum(counts):,} {colour} images of {side} x {side} in {problem.outputs} classes; "
        f"{len(problem.examples(Split.TEST).y):,} of them were kept for the test."
    )


def tried(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Factor -> the ranges of its row; empty where the sweep is no `fit`."""
    others = {method.key for method in comparison.methods if method.name != "oracle"}
    if [problem.source["name"] for problem in comparison.problems] != ["folder"] or others != set(fit_plan.METHODS):
        return {}
    return {
        method.key: dict(method.settings["ranges"]) for method in comparison.methods
        if method.name == "oracle" and "ranges" in method.settings
    }


def _sized(folder: Path, minutes: float, source: dict[str, Any], options: launch.Options) -> Comparison:
    """The sweep that fits into the minutes; bad data is told here."""
    cluster.reach(options.connection or cluster.Connection())  # before images are read
    problem, batch, times = fit_plan.timed(folder, source, sweeps.cache_folder())
    reach = fit_plan.reach(problem.transform_bank)
    rows = len(fit_plan.METHODS) + len(reach)
    slots = slots_of(fit_plan.comparison(folder, source, {}, fit_plan.Size(1, 1), minutes), options.connection)
    size = fit_plan.sized(times, fit_plan.most_updates(problem, batch), rows, minutes, slots)
    a_console().print(
        f"{rows} kinds of training, {size.updates} updates each, on {size.seeds} seeds: about "
        f"{duration(times.sweep(size, rows, slots))}", highlight=False,
    )
    return fit_plan.comparison(folder, source, reach, size, minutes)


def _best(rows: Sequence[Row], scores: dict[str, float]) -> Row | None:
    """By the select split."""
    able = [row for row in rows if row.method in scores]
    return max(able, key=lambda row: scores[row.method], default=None)


def check_minutes(minutes: float) -> None:
    """Raises UserError where there is no time for anything."""
    if not 1 <= minutes <= 7 * 24 * 60:
        raise UserError("--minutes must lie between 1 and a week", f"{minutes:g}", "5 is a good start")

"""What was trained once, in words: what it cost, what a row costs without it, and after how many tasks it pays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from search.break_even import BreakEven, break_even, task_flops
from search.made import Made
from search.row import Row
from search.words import duration, listed
from tracking.record import Stage

MOST_SENTENCES = 12  # one for every pair; for more pairs there is one for every row, and the table has the intervals


def made_line(found: Made) -> str:
    """"pre-training: MAKER on SOURCE, key K, cost ..., in PLACE"."""
    wall, images = found.cost.wall_seconds, found.cost.unlabelled_reads
    took = "" if wall is None else f" in {duration(wall)}"
    read = "" if not images else f", {images:,.0f} images read without labels"
    where = "was there already: " if found.cached else ""
    cost = f"{found.cost.flops:.3g} FLOPs{took}{read}"
    return f"pre-training: {found.label}, {cost}; key {found.key}; {where}{found.place}"


def pretraining_sentences(rows: Sequence[Row]) -> list[str]:
    """On one problem: every row with pre-training with and without it, then its break-even against every other."""
    pairs = break_even(rows)
    if len(pairs) > MOST_SENTENCES:
        methods = dict.fromkeys(found.method for found in pairs)
        together = [_together([found for found in pairs if found.method == method], rows) for method in methods]
        return [*_with_and_without(rows), *together]
    return [*_with_and_without(rows), *(_break_even_sentence(found, rows) for found in pairs)]


def _with_and_without(rows: Iterable[Row]) -> list[str]:
    found = []
    for row in rows:
        if row.way is Stage.RERUN and row.pretraining.flops:
            whole, rest = row.total.flops, row.total.flops - row.pretraining.flops
            found.append(
                f"{row.problem}: {row.label} has cost {_plain(row, whole)}, {_plain(row, rest)} without its "
                f"pre-training of {_plain(row, row.pretraining.flops)}."
            )
    return found


def _break_even_sentence(found: BreakEven, rows: Sequence[Row]) -> str:
    row = next(r for r in rows if (r.method, r.way) == (found.method, Stage.RERUN))
    cost, rivals = _plain(row, found.task_flops), _plain(row, found.rival_task_flops)
    if found.tasks is None:
        surely = "" if found.fewest is None else f" [95 %: from {found.fewest} tasks on to never]"
        return (
            f"{found.problem}: {found.method} never becomes cheaper than {found.rival}{surely}: a task (tuning and one "
            f"training) costs {cost} against {rivals}, and the pre-training comes on top."
        )
    tasks = ("the first task" if found.tasks == 1 else f"{found.tasks} tasks") + _interval(found)
    whole = found.pretraining_flops == row.pretraining.flops
    more = f"a pre-training of {_plain(row, found.pretraining_flops)}" if whole else (
        f"{_plain(row, found.pretraining_flops)} more of pre-training"
    )
    return (
        f"{found.problem}: {found.method} is no dearer than {found.rival} from {tasks} on: a task (tuning and one "
        f"training) costs {cost} against {rivals}, after {more}."
    )


def _interval(found: BreakEven) -> str:
    """Of the number of tasks; nothing where both ends are that number, or there is one seed."""
    if found.fewest is None or (found.fewest, found.most) == (found.tasks, found.tasks):
        return ""
    return f" [95 %: {found.fewest} to {found.most or 'never'}]"


def _together(pairs: Sequence[BreakEven], rows: Sequence[Row]) -> str:
    """One row against all others, those that it overtakes first in front."""
    first = pairs[0]
    row = next(r for r in rows if (r.method, r.way) == (first.method, Stage.RERUN))
    pays = sorted((found for found in pairs if found.tasks is not None), key=lambda found: found.tasks or 0)
    reached = [f"{found.rival} ({found.tasks}{_interval(found)}{_ahead(row, found.rival, rows)})" for found in pays]
    said = [f"is no dearer, from so many tasks on, than {listed(reached)}"] if reached else []
    if never := [found.rival for found in pairs if found.tasks is None]:
        said.append(f"never becomes cheaper than {listed(never)}")
    return (
        f"{first.problem}: {first.method}, whose pre-training costs {_plain(row, row.pretraining.flops)} and a task "
        f"(tuning and one training) {_plain(row, task_flops(row))}, {' and '.join(said)}."
    )


def _ahead(row: Row, rival: str, rows: Sequence[Row]) -> str:
    """", 3.1 points ahead in score" where the rival's mean is higher: cheaper is not better. Untested."""
    other = next((one for one in rows if one.method == rival and one.way is Stage.RERUN), None)
    if other is None or other.test is None or row.test is None or other.test.mean <= row.test.mean:
        return ""
    gap = other.test.mean - row.test.mean
    return f", {100 * gap:.1f} points ahead" if row.accuracy else f", {gap:.3g} ahead"


def _plain(row: Row, flops: float) -> str:
    """"12.3 plain trainings"; in FLOPs where none was measured."""
    multiples = row.multiples(flops)
    return f"{flops:.3g} FLOPs" if multiples is None else f"{multiples:.3g} plain trainings"

"""What a sweep had found by smaller budgets: of which sweep the kept rows are, and what counts in a budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import policy_budgets
import policy_rows
import pytest
from policy_budgets import Finished
from row_book import Book, Job, Row
from told import told

from search import sweep
from tests.support.artefacts import spec
from tests.support.journals import pretrained
from tests.support.simulation import Simulation, comparison, simulated
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Stage
from tracking.storage import Place
from trainables.assignment import Assignment, Report

ONE = [{"label": "one", "source": {"name": "digits"}}]
METHODS = [{"name": "plain"}, {"name": "augnet"}]
UNIT = 100_000  # FLOPs of a plain training of the simulation; one of augnet is 1.5
DEAR = {"augnet-extractor": 2 * UNIT}


def swept(root: Path, shift: float = 0.0, began: int = 0, made: dict[str, int] | None = None) -> Finished:
    """A finished sweep named `mine` with a budget of 6.

    Args:
        shift: of the test scores.
        made: what `augnet` needs, and what it has cost in FLOPs.
    """
    def curve(assignment: Assignment, index: int) -> Report:
        report = simulated(assignment, index)
        if assignment.stage is not Stage.RERUN:
            return report
        scores = dict.fromkeys(policy_rows.KEPT.values(), (report.score or 0.0) + shift)
        return report.model_copy(update={"metrics": {**report.metrics, **scores}})

    described, events = comparison(problems=ONE, methods=METHODS, replay=False), list[Event]()
    Simulation(described, events, curve=curve).run()
    begun = {"kind": "sweep", "time_ms": began, "name": "mine", "comparison": described.model_dump(mode="json")}
    events = pretrained([begun, *events], {("one", "augnet"): list(made)} if made else {}, made or {})
    events[0]["artefacts"]["specs"] = {key: spec().model_dump(mode="json") for key in made or {}}
    stored = sweep.create(Place.of(root / "mine"), described)
    stored.place.write("journal.jsonl", "".join(
        json.dumps({**event, "schema": 1, "seq": number}) + "\n" for number, event in enumerate(events)
    ).encode())
    return Finished(stored.place)


def with_accuracy(jobs: Sequence[Job], accuracy: float) -> list[Job]:
    """The same rows, without a training."""
    return [Job(job.name, partial(dict, {**job.name, "accuracy": accuracy})) for job in jobs]


def trained(book: Book, jobs: Sequence[Job], accuracy: float, kept: bool = False) -> set[Any]:
    return {row["accuracy"] for row in policy_rows.trained(book, with_accuracy(jobs, accuracy), 1, kept)}


def without_digests(book: Book) -> Book:
    """As it was before rows had one."""
    assert book.path is not None
    rows = [{key: row[key] for key in row if key != policy_rows.DIGEST} for row in book.rows]
    path = book.path.with_name("old.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Book(path)


@pytest.mark.parametrize(("shift", "began"), [(0.25, 0), (0.25, 1)])
def test_rows_of_another_sweep_of_the_same_name_are_not_taken(tmp_path: Path, shift: float, began: int) -> None:
    """Its ends are read from it whatever the book has; what is trained is, if it began at another time."""
    first, second = swept(tmp_path / "a"), swept(tmp_path / "b", shift, began)
    book, jobs = Book(tmp_path / "rows.jsonl"), list(first.earlier([1.5]))
    ends = policy_rows.read_again(book, list(first.ends()))
    assert jobs and trained(book, jobs, 0.5) == {0.5}
    theirs = policy_rows.read_again(book, list(second.ends()))
    assert [row["accuracy"] for row in theirs] == pytest.approx([row["accuracy"] + shift for row in ends])
    assert trained(book, list(second.earlier([1.5])), 0.7) == ({0.5} if began == 0 else {0.7})
    assert trained(Book(book.path), jobs, 0.9) == {0.5}, "its own are taken, and not trained again"


def test_a_second_call_keeps_nothing_twice(tmp_path: Path) -> None:
    found, path = swept(tmp_path), tmp_path / "rows.jsonl"
    for _ in range(2):
        policy_rows.read_again(Book(path), list(found.ends()))
    rows = [row for row in Book(path).rows if row.get("incumbent") == "last"]
    assert len(rows) == len(list(found.ends())) == 4


def test_rows_without_a_digest_are_taken_when_asked_and_of_this_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = swept(tmp_path / "a")
    jobs, new = list(found.earlier([1.5])), Book(tmp_path / "rows.jsonl")
    policy_rows.read_again(new, list(found.ends()))
    trained(new, jobs, 0.5)
    assert trained(without_digests(new), jobs, 0.7) == {0.7}
    old = without_digests(new)
    assert old.path is not None
    policy_rows.check_old(old.path, list(found.ends()))
    assert trained(old, jobs, 0.7, kept=True) == {0.5}
    other = swept(tmp_path / "b", shift=0.25)
    with pytest.raises(UserError, match="must be of this sweep"):
        policy_rows.check_old(old.path, list(other.ends()))
    before = old.path.read_bytes()
    options = [str(tmp_path / "b" / "mine"), "--kept", "--results", str(old.path)]
    monkeypatch.setattr("sys.argv", ["policy_budgets.py", *options])
    with pytest.raises(UserError, match="must be of this sweep"):
        policy_budgets.main()
    assert old.path.read_bytes() == before, "who is refused leaves no trace"


def by_budget(found: Finished, budgets: Sequence[float]) -> dict[str, list[float]]:
    """Method -> the smaller budgets by which it has something to show."""
    jobs = [*found.ends(), *with_accuracy(list(found.earlier(budgets)), 0.5)]
    rows: list[Row] = found.table([job.work() for job in jobs], budgets)
    return {
        method: sorted({row["budget"] for row in rows if row["method"] == method} & set(budgets))
        for method in ("plain", "augnet")
    }


def test_what_was_trained_before_counts_in_every_budget(tmp_path: Path) -> None:
    """A first training costs 1 and 1.5; with an extractor of 2 plain trainings `augnet` has none before 3.5."""
    budgets = [1.0, 1.5, 2.0, 3.3, 3.6]
    without, needy = swept(tmp_path / "a"), swept(tmp_path / "b", made=DEAR)
    assert by_budget(without, budgets) == {"plain": budgets, "augnet": budgets[1:]}
    assert by_budget(needy, budgets) == {"plain": budgets, "augnet": [3.6]}
    assert needy.spent("one", "augnet") == pytest.approx(without.spent("one", "augnet") + 2)
    assert needy.spent("one", "plain") == without.spent("one", "plain")


def test_budgets_that_the_sweep_never_had_are_left_out_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy_budgets.below([5.0, 1.0, 50.0, 30.0], 30.0) == [1.0, 5.0]
    assert "own budget is 30: 50x" in capsys.readouterr().err
    assert policy_budgets.below([1.0, 30.0], 30.0) == [1.0]
    assert capsys.readouterr().err == "", "the sweep's own is a column anyway"


def test_what_is_no_finished_sweep_ends_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.create(Place.of(tmp_path / "begun"), comparison())
    for name, said in (("nosuch", "there is no such folder"), ("begun", "not on one, two")):
        results = tmp_path / f"{name}.jsonl"
        monkeypatch.setattr("sys.argv", ["x", str(tmp_path / name), "--results", str(results)])
        with pytest.raises(SystemExit) as end, told():
            policy_budgets.main()
        shown = capsys.readouterr()
        assert end.value.code == 2 and shown.err.startswith("error: ") and said in shown.err
        assert not results.exists(), "and nothing is written"

"""Rows of several sweeps in one table: none counts twice, and none is held against another sweep's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import black_box_drift
import git_transfer
import policy_budgets
import pytest
import tail_rows
from told import told

from search.tail_parts import mnist_tail
from tests.support.journals import UNIT_FLOPS, Writer, finals, stored
from tracking.errors import UserError
from tracking.record import Stage
from trainables.problems.spec import ProblemSpec

ORDERS = ("mnist-stroke-0", "mnist-stroke-1", "mnist-stroke-2")
RULES = {"plain": (0.2, 0.3, 0.4), "drs": (0.5, 0.6, 0.8)}  # accuracy of the tail, by order
Tails = Mapping[str, Sequence[float | None]]


def written(
    root: Path, name: str, tails: Tails, orders: Sequence[str] = ORDERS, tuning: int = UNIT_FLOPS, **fields: Any
) -> str:
    """A sweep in which each row has this tail accuracy on each order, two seeds .02 around it; None: it gave up.

    Args:
        tuning: FLOPs of each study's one trial.
        fields: of the comparison.
    """
    writer = Writer(name)
    writer.begin(orders, list(tails), 2, {})
    problems = [{"label": label, "wrappers": [{"name": "long_tailed", "order": int(label[-1])}]} for label in orders]
    writer.events[0]["comparison"] |= {"problems": problems, "horizon": 700, **fields}
    for place, problem in enumerate(orders):
        writer.trial(problem, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
        for method, values in tails.items():
            writer.trial(problem, method, Stage.TUNE, 0, tuning)
            tail = values[place]
            if tail is None:
                writer.done(problem, method, "failed", "no trial reached its horizon")
                continue
            for seed, score in enumerate((tail - 0.02, tail + 0.02), start=1):
                extra = finals(score, 0.9) | {"classes/accuracy/tail": score}
                writer.trial(problem, method, Stage.RERUN, seed, UNIT_FLOPS, extra=extra)
    stored(root, writer.events, name)
    return str(root / name)


def line(places: Sequence[str], method: str) -> list[str]:
    """The cells of a row's line."""
    found = [one for one in git_transfer.sweep_table(places) if one.startswith(f"| {method} |")]
    assert len(found) == 1
    return [cell.strip() for cell in found[0].strip("| ").split("|")]


def test_a_row_that_two_sweeps_have_counts_once(tmp_path: Path) -> None:
    """Three orders .5, .6, .8 are three: s = .1528, t_{.975, 2} = 4.303; as six they would be half as uncertain."""
    rules = written(tmp_path, "rules", RULES)
    more = written(tmp_path, "more", {**RULES, "git": (0.7, 0.7, 0.8)})
    once = tail_rows.gathered([rules, more])
    assert [(one.row.method, one.row.problem[-1]) for one in once if one.row.method == "drs"] == [
        ("drs", "0"), ("drs", "1"), ("drs", "2")
    ]
    alone, both = line([rules], "drs"), line([rules, more], "drs")
    assert alone == both == line([rules, rules], "drs")
    orders, runs = git_transfer.overall([one.row for one in once if one.row.method == "drs"], "accuracy/tail")
    assert (orders.count, runs.count) == (3, 6)
    assert orders.high - orders.mean == pytest.approx(4.303 * 0.15275 / 3**0.5, rel=1e-3)
    assert line([rules, more], "git") == line([more], "git")
    gained, _ = git_transfer.against([one for one in once if one.row.method == "plain"], "accuracy/tail")
    assert (gained.count, gained.mean) == (3, pytest.approx(-1 / 3))


def test_one_order_has_no_interval_over_orders_however_often_it_is_given(tmp_path: Path) -> None:
    one = written(tmp_path, "one", {"drs": (0.5,)}, ORDERS[:1])
    orders, runs = git_transfer.overall([kept.row for kept in tail_rows.gathered([one, one])], "accuracy/tail")
    assert orders.low is None and runs.count == 2


def test_differences_are_from_the_same_sweep(tmp_path: Path) -> None:
    """Where a sweep has no delayed resampling there is no difference, whatever another one has."""
    rules = written(tmp_path, "rules", RULES)
    without = written(tmp_path, "without", {"git": (0.7, 0.7, 0.8)})
    assert line([rules, without], "git")[-3] == "-"
    assert line([rules], "plain")[-3].startswith("-0.333 ["), "the control"
    both = written(tmp_path, "both", {"git": (0.7, 0.7, 0.8), "drs": RULES["drs"]})
    assert line([without, both], "git")[-3].startswith("+0.1 ["), "of equal rows the one that has a reference"


@pytest.mark.parametrize(
    ("tails", "tuning", "said"),
    [
        ({"drs": (0.5, 0.6, 0.81)}, UNIT_FLOPS, "`drs` on `mnist-stroke-2` differs in scores, figures by class"),
        ({"drs": RULES["drs"]}, 3 * UNIT_FLOPS, "`drs` on `mnist-stroke-0` differs in cost"),
    ],
)
def test_a_row_with_two_results_is_refused(tmp_path: Path, tails: Tails, tuning: int, said: str) -> None:
    places = [written(tmp_path, "rules", RULES), written(tmp_path, "again", tails, tuning=tuning)]
    with pytest.raises(UserError, match=said):
        tail_rows.gathered(places)
    for place in places:
        assert tail_rows.gathered([place]), "each alone is shown"


def test_a_study_that_gave_up_leaves_its_place_to_one_that_did_not(tmp_path: Path) -> None:
    short = written(tmp_path, "short", {**RULES, "git": (None, None, None)}, budget=1.2)
    long = written(tmp_path, "long", {"drs": RULES["drs"], "git": (0.7, 0.7, 0.8)}, budget=1.6)
    assert line([short, long], "git") == line([long, short], "git") == line([long], "git")
    assert set(line([short], "git")[1:]) == {"-"}


OTHER_TAIL = [{"label": ORDERS[0], "wrappers": [{"name": "long_tailed", "order": 0, "tail": "zipf"}]}]
SAME_ORDER = [{"label": "mnist-stroke-3", "wrappers": [{"name": "long_tailed", "order": 0}]}]
OTHER_ROW = [{"name": "plain", "label": "drs", "settings": {"imbalance": {"delay": 0.8}}}]


@pytest.mark.parametrize(
    ("order", "fields", "said"),
    [
        ("mnist-stroke-0", {"problems": OTHER_TAIL}, "problem `mnist-stroke-0` differs in wrappers"),
        ("mnist-stroke-0", {"horizon": 240}, "the training of `mnist-stroke` differs in horizon"),
        ("mnist-stroke-3", {"horizon": 240}, "the training of `mnist-stroke` differs in horizon"),
        ("mnist-stroke-3", {"methods": OTHER_ROW}, "row `drs` of `mnist-stroke` differs in name, settings"),
        ("mnist-stroke-3", {"problems": SAME_ORDER}, r"order \[0\] of `mnist-stroke` differs in label"),
    ],
)
def test_one_name_for_two_things_is_refused(tmp_path: Path, order: str, fields: dict[str, Any], said: str) -> None:
    rules = written(tmp_path, "rules", RULES)
    other = written(tmp_path, "other", {"drs": (0.5,)}, (order,), **fields)
    with pytest.raises(UserError, match=said):
        tail_rows.gathered([rules, other])
    assert len(tail_rows.gathered([rules])) == 6 and len(tail_rows.gathered([other])) == 1


def test_where_data_lie_and_what_a_version_did_not_tell_make_no_other_problem(tmp_path: Path) -> None:
    """Negative controls: another data set, and another number where a version did tell it."""
    def known(root: str, dataset: str = "MNIST", **left_out: None) -> list[dict[str, Any]]:
        problem = mnist_tail("stroke", 0)
        source = problem["source"] | {"root": root, "dataset": dataset}
        spec = ProblemSpec.model_validate({**problem, "source": source}).model_dump(mode="json")
        return [{name: value for name, value in spec.items() if name not in left_out}]

    def made(name: str, problems: list[dict[str, Any]], **fields: Any) -> str:
        return written(tmp_path, name, {"drs": (0.5,)}, ORDERS[:1], problems=problems, **fields)

    here, methods = made("here", known("/data")), [{"name": "drs", "label": "", "settings": {}, "network": ""}]
    later = {"class_images": 20, "seed": 0, "methods": methods}
    for name, problems, fields in (
        ("there", known("/home"), {}), ("before", known("/data", shares=None), {}), ("after", known("/data"), later),
    ):
        assert len(tail_rows.gathered([here, made(name, problems, **fields)])) == 1
    with pytest.raises(UserError, match="problem `mnist-stroke-0` differs in source"):
        tail_rows.gathered([here, made("other", known("/data", "KMNIST"))])
    with pytest.raises(UserError, match="the training of `mnist-stroke` differs in class_images"):
        tail_rows.gathered([here, made("more", known("/data"), class_images=30)])


def test_a_further_order_of_the_same_training_is_one(tmp_path: Path) -> None:
    rules = written(tmp_path, "rules", RULES)
    other = written(tmp_path, "other", {"drs": (0.5,)}, ("mnist-stroke-3",))
    found = [one.row.problem for one in tail_rows.gathered([rules, other]) if one.row.method == "drs"]
    assert found == [*ORDERS, "mnist-stroke-3"]


def test_a_folder_without_a_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        tail_rows.gathered([str(tmp_path / "nosuch")])
    with pytest.raises(UserError, match=r"neither comparison\.json nor a journal"):
        tail_rows.gathered([str(tmp_path)])


@pytest.mark.parametrize("script", [git_transfer, black_box_drift, policy_budgets])
def test_a_damaged_journal_ends_every_script_with_one_message(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = written(tmp_path, "rules", RULES)
    journal = tmp_path / "rules/journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:3], "no event", *lines[4:]]) + "\n")
    options = ["--sweeps", place] if script is git_transfer else [place]
    monkeypatch.setattr("sys.argv", ["x", *options])
    with pytest.raises(SystemExit) as end, told():
        script.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and "a sweep's journal must be undamaged" in said and "line 4 of" in said


def test_a_problem_is_named_without_its_order() -> None:
    assert tail_rows.family("mnist-stroke-2") == "mnist-stroke"
    assert tail_rows.family("cifar10-lt") == "cifar10-lt"

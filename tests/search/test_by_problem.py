"""The table of methods by problems, on rows whose cells are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.by_problem import MARKS, by_problem
from search.row import Row, Verdict
from search.statistics import Estimate
from tests.support.rows import row, seeds
from tracking.record import Stage

VERDICTS = {("a", "p"): Verdict.BETTER, ("a", "q"): Verdict.WORSE}


@pytest.fixture
def rows() -> list[Row]:
    """`a` leads on p and is last on q; its trainings cost 2 and 4 plain ones, and its tuning 10."""
    made = [
        row(method, seeds(*scores), method == "plain", problem=problem, flops=flops, tuning=10.0)
        for method, problem, scores, flops in (
            ("plain", "p", (0.50, 0.60, 0.70), 1.0), ("plain", "q", (0.2, 0.3, 0.4), 1.0),
            ("a", "p", (0.80, 0.80, 0.80), 2.0), ("a", "q", (0.1, 0.1, 0.1), 4.0),
        )
    ]
    return [
        replace(one, verdict=VERDICTS.get((one.method, one.problem), Verdict.CONTROL), total=one.tuning) for one in made
    ]


def cells(rows: list[Row]) -> dict[str, list[str]]:
    table = by_problem(rows)
    assert table is not None and table.heads == ["method", "p", "q", "one training", "everything"]
    return {line[0]: line[1:] for line in table.lines}


def test_a_cell_has_the_mean_half_of_the_interval_and_the_verdict(rows: list[Row]) -> None:
    """.5 .6 .7: a deviation of .1, t(2) = 4.303, so 24.8 points."""
    assert cells(rows) == {
        "plain": ["60.0 ± 24.8 ●", "30.0 ± 24.8 ●", "1.00", "10.0"],
        "a": ["80.0 ± 0.0 ▲", "10.0 ± 0.0 ▼", "3.00", "10.0"],
    }
    unsigned = {Verdict.EQUAL, Verdict.UNKNOWN, Verdict.ALONE}
    assert set(MARKS) == set(Verdict) - unsigned, "what was not found has no sign"


def test_no_mark_where_no_difference_was_found_and_no_width_for_one_seed(rows: list[Row]) -> None:
    one_seed = {name: Estimate(0.8, None, None, 1) for name in rows[2].estimates}
    changed = [rows[0], rows[1], replace(rows[2], verdict=Verdict.UNKNOWN, estimates=one_seed),
               replace(rows[3], verdict=Verdict.EQUAL)]
    assert cells(changed)["a"][:2] == ["80.0", "10.0 ± 0.0"]


def test_what_is_not_there_is_a_dash(rows: list[Row]) -> None:
    """And costs are those of the problems that have a score."""
    assert cells([*rows[:2], replace(rows[2], estimates={}), rows[3]])["a"] == ["-", "10.0 ± 0.0 ▼", "4.00", "10.0"]
    assert cells([*rows[:2], replace(rows[2], training=None), rows[3]])["a"][2] == "4.00"
    assert cells(rows[:3])["a"] == ["80.0 ± 0.0 ▲", "-", "2.00", "10.0"]


def test_scores_of_other_units_are_not_in_percent(rows: list[Row]) -> None:
    assert cells([replace(one, accuracy=False) for one in rows])["plain"][0] == "0.600 ± 0.248 ●"


def test_frozen_rows_and_single_problems_have_no_line(rows: list[Row]) -> None:
    assert by_problem(rows[::2]) is None and by_problem([]) is None
    assert cells([*rows, replace(rows[2], way=Stage.REPLAY, estimates={})]) == cells(rows)

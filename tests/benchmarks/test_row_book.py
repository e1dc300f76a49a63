"""Rows on disk name no machine's folders, and every one that is kept is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from row_book import command, read

KEPT = sorted((Path(__file__).resolve().parents[2] / "benchmarks" / "results").glob("*.jsonl"))


def test_a_command_is_kept_without_the_folders_of_one_machine() -> None:
    given = ["benchmarks/one.py", "/some/where/sweep", "--results", "/else/rows.jsonl", "--shots", "5"]
    assert command(given) == "benchmarks/one.py sweep --results rows.jsonl --shots 5"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_every_kept_row_is_whole_and_says_when_it_was_made(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines and all("date" in json.loads(line) for line in lines)


def test_a_line_that_a_kill_cut_short_loses_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a":1}\n{"a":2,"b"\n{"a":3}\n')
    assert [row["a"] for row in read(path)] == [1, 3]

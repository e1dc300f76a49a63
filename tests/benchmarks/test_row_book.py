"""Rows on disk name no machine's folders."""

from __future__ import annotations

from row_book import command


def test_a_command_is_kept_without_the_folders_of_one_machine() -> None:
    given = ["benchmarks/one.py", "/some/where/sweep", "--results", "/else/rows.jsonl", "--shots", "5"]
    assert command(given) == "benchmarks/one.py sweep --results rows.jsonl --shots 5"

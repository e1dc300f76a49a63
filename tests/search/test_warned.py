"""Warnings in a report: once for all seeds, those about results first, no more than a dozen."""

from __future__ import annotations

from typing import Any

import pytest

from search import report
from search.warned import MOST, warned
from tests.support.journals import journal
from tests.support.pages import check_self_contained
from tracking.cost import Ledger

KEY = "0123456789abcdef0123456789abcdef"


def told(*texts: str, before: tuple[dict[str, Any], ...] = ()) -> list[str]:
    events = [*journal(), *before, *({"kind": "warning", "seq": 0, "time_ms": 0, "text": text} for text in texts)]
    return list(warned(events))


def test_once_for_all_seeds_of_a_row() -> None:
    assert told("a b/git/rerun-1: it collapsed", "a b/git/rerun-2: it collapsed", "node 3 is away") == [
        "Warned while running: a b/git: it collapsed", "Warned while running: node 3 is away",
    ]


def test_what_several_rows_say_alike_is_one_warning() -> None:
    assert told("p/a/rerun-1: it collapsed", "q/b/rerun-2: it collapsed", "p/a/rerun-1: another") == [
        "Warned while running: p/a, q/b: it collapsed", "Warned while running: p/a: another",
    ]


def test_results_come_before_tuning_and_tuning_before_the_rest() -> None:
    """So that what is cut off after a dozen is never what decides about a row."""
    noise = [f"node {k}" for k in range(MOST)] + [f"p/m/tune-{k}: slow {k}" for k in range(MOST)]
    said = told(*noise, "p/git/rerun-1: it collapsed")
    assert said[0] == "Warned while running: p/git: it collapsed"
    assert said[1] == "Warned while running: p/m: slow 0" and len(said) == MOST + 1
    assert said[-1] == f"{MOST + 1} further warnings are in the journal."
    assert told(*noise[: MOST + 1])[-1] == "1 further warning is in the journal."
    assert told(*noise[:MOST])[-1] == f"Warned while running: node {MOST - 1}"


def test_a_maker_is_called_by_its_label() -> None:
    made = {"kind": "artefact", "seq": 0, "time_ms": 0, "key": KEY, "label": "style_generator on digits", "uri": "x",
            "cached": False, "ledger": Ledger().to_json()}
    said = [f"artefacts/{KEY[:12]}: it collapsed", f"artefacts/{KEY[:12]}-2: it collapsed"]
    assert told(*said, before=(made,)) == ["Warned while running: style_generator on digits: it collapsed"]
    assert told(said[0]) == [f"Warned while running: {KEY[:12]}: it collapsed"]


def test_mixed_versions_and_data_are_said_elsewhere() -> None:
    assert told("went on although the version differs: torch 2.14 then, 2.15 now") == []
    assert told("went on although the data differ: the data of `mine`: fingerprint 1 then, 2 now") == []


@pytest.mark.parametrize("warn", [True, False])
def test_page_and_summary_have_them(tmp_path: Any, warn: bool) -> None:
    warning = {"kind": "warning", "seq": 0, "time_ms": 0, "text": "p/git/rerun-1: it <collapsed>"}
    report.write([*journal(), *([warning] if warn else [])], tmp_path)
    page = " ".join(check_self_contained((tmp_path / "report.html").read_text()).text)
    assert ("p/git: it <collapsed>" in page) is warn
    assert ("p/git: it" in (tmp_path / "summary.md").read_text()) is warn

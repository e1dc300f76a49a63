"""Which figures a problem has, by the kind of search, and the names of their files."""

from __future__ import annotations

import re

import pytest
from matplotlib.text import Text

from search.analysis import rows
from search.captions import BARS, CONSTANT, RADAR
from search.exhibits import Exhibits, slugs
from tests.support.journals import SCORES, Writer, journal
from tracking.record import Stage


def test_slugs_are_fit_for_files_and_differ() -> None:
    labels = ["a b", "a-b", "A B", "", "../..", "x" * 300, "旋转", "c-9", "C", "c", "c-10"]
    found = slugs(labels)
    assert len({slug.lower() for slug in found.values()}) == len(labels)
    assert all(re.fullmatch(r"[A-Za-z0-9.-]{1,70}", slug) and not slug.startswith(".") for slug in found.values())
    assert slugs(["a-3", "A", "a"]) == {"a-3": "a-3", "A": "A", "a": "a-4"}


def test_a_search_for_cost_and_score_together_shows_its_front() -> None:
    """Whole trials of the synthetic journal cost the same: the better one is the front.

    The worst of any trial: .70 at 1.6. So .74 at 1 beats .04 x .6, and .74 at 1.6 nothing.
    """
    events = journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=())
    events[0]["comparison"]["sampler"] = "nsga_ii"
    found = {exhibit.name: exhibit for exhibit in Exhibits(rows(events), events).of("one")}
    front = found["front-one"]
    assert front.images[0].startswith(b"<?xml")
    lines = {line["method"]: line for line in front.records}
    assert (lines["plain"]["select_score"], lines["plain"]["plain_trainings"]) == (0.74, 1.0)
    assert lines["plain"]["hypervolume"] == pytest.approx(0.04 * 0.6e6)
    assert lines["augnet"]["hypervolume"] == 0
    assert "augnet: 74.0 % at 1.6" in front.alt
    assert all(exhibit.alt.startswith("one. ") for exhibit in found.values())
    usual = journal({"one": {"plain": (0.8, 0.82)}}, replays=())
    assert "front-one" not in {exhibit.name for exhibit in Exhibits(rows(usual), usual).of("one")}


def test_figures_in_which_a_constant_answer_looks_invariant_say_so() -> None:
    assert all(CONSTANT in caption for caption in (BARS, RADAR))


def test_independent_trials_show_what_a_shorter_search_would_have_found() -> None:
    """Scores .7 (the defaults, left out), .5, .6, .9: of one .667, of two (.6 + .9 + .9) / 3 = .8, of three .9."""
    writer = Writer("s")
    writer.begin(["p"], ["plain"], 1, {})
    writer.events[0]["comparison"] |= {"sampler": "random", "asha": None}
    for index, score in enumerate((0.7, 0.5, 0.6, 0.9)):
        writer.trial("p", "plain", Stage.TUNE, index, 10, score=score)
    found = {exhibit.name: exhibit for exhibit in Exhibits(rows(writer.events), writer.events).of("p")}
    table = found["expected-best-p"].table
    assert table.heads == ["method", "expected best of 1", "expected best of 2", "best of all", "trials"]
    assert table.lines == [["plain", "66.7 %", "80.0 %", "90.0 %", "3"]]
    lines = found["expected-best-p"].records
    assert [(line["method"], line["trials"]) for line in lines] == [("plain", 1), ("plain", 2), ("plain", 3)]
    assert [line["expected_best_select_score"] for line in lines] == pytest.approx([2 / 3, 0.8, 0.9]), "numbers"
    assert "plain 66.7 % and 90.0 %" in found["expected-best-p"].alt
    assert found["expected-best-p"].images[0].startswith(b"<?xml")
    for more in ({"sampler": "tpe"}, {"asha": {}}):  # no independent draws
        writer.events[0]["comparison"] |= {"sampler": "random", "asha": None, **more}
        names = {exhibit.name for exhibit in Exhibits(rows(writer.events), writer.events).of("p")}
        assert "expected-best-p" not in names


def test_no_letter_of_a_figure_is_smaller_than_the_page_takes_them_for() -> None:
    """The page gives an inch so many pixels that eight points can be read; and it takes the width from here."""
    events = journal()
    found = [exhibit for problem in SCORES for exhibit in Exhibits(rows(events), events).of(problem)]
    assert len(found) == 10
    for exhibit in found:
        figure = exhibit.draw()
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]
        assert min(text.get_fontsize() for text in texts) >= 8, exhibit.name
        assert exhibit.images.inches == figure.get_figwidth()

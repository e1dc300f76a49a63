"""The page and the summary: self-contained, escaped, with the big table."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from search import report
from search.analysis import rows
from search.by_problem import LEGEND, MARKS, by_problem
from search.exhibits import Exhibits
from search.figures.style import png, sheet
from search.page import Room, _shown
from search.summary import summary
from tests.support.journals import SCORES, Writer, journal
from tests.support.pages import KINDS, check_self_contained, content, html, printed, small
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place

HOSTILE = '<script>alert("$x$ & \'y\'")</script>'


def test_the_big_table_stands_on_the_page_and_in_the_summary(tmp_path: Path) -> None:
    """Of two problems; of one there is none."""
    report.write(journal(), tmp_path)
    big = by_problem(rows(journal()))
    assert big is not None and len(big.lines) >= 2
    marks = {mark for mark in MARKS.values() if any(mark in cell for line in big.lines for cell in line)}
    assert "●" in marks
    cells = [part.strip() for part in check_self_contained((tmp_path / "report.html").read_text()).text]
    lines = (tmp_path / "summary.md").read_text().splitlines()
    for line in [big.heads, *big.lines]:
        assert set(line) <= set(cells)
        assert f"| {' | '.join(line)} |".replace("_", r"\_") in lines
    assert LEGEND in lines and LEGEND in " ".join(cells)
    report.write(small(), tmp_path)
    assert LEGEND not in (tmp_path / "report.html").read_text() + (tmp_path / "summary.md").read_text()


def test_a_page_without_room_for_its_figures_says_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = len(html(journal()).encode())
    monkeypatch.setattr("search.page.MOST_BYTES", 0)
    text = html(small())
    assert "data:image" not in text
    assert text.count("it is beside it, in figures/") == 4
    monkeypatch.setattr("search.page.MOST_BYTES", whole - 50_000)
    part = html(journal())
    assert len(part.encode()) <= whole - 50_000 + 1000, "a thousand for the words about what is left out"
    assert 0 < part.count("it is beside it") < part.count("<figure>")


def test_room_goes_to_the_first_figure_of_every_problem_before_the_second_of_any() -> None:
    """Where one problem's figures fill the page, the others have their main one all the same."""
    events = journal()
    made = Exhibits(rows(events), events)
    problems = made.plan.problems
    assert len(problems) > 1
    firsts = sum(len(Room(10**9).image(made.of(problem)[0]).source) for problem in problems)
    for spare in (0, 500):
        room = Room(firsts + spare)
        shown = _shown([made.of(problem) for problem in problems], room)
        assert all(own[0].source for own in shown) and not any(one.source for own in shown for one in own[1:])


def test_the_images_that_a_method_exports_are_shown(tmp_path: Path) -> None:
    pixel = png(sheet(0.1, 0.1))
    (tmp_path / "exports" / "one" / "augnet").mkdir(parents=True)
    (tmp_path / "exports" / "one" / "augnet" / "contact_sheet.png").write_bytes(pixel)
    (tmp_path / "exports" / "one" / "nobody").mkdir()
    report.write(small(), tmp_path / "report", Place.of(tmp_path / "exports"))
    parsed = check_self_contained((tmp_path / "report" / "report.html").read_text())
    (told,) = [a for a in parsed.alternatives if a.startswith("Example images of one, augnet")]
    assert "third is untouched" in told and any("third is untouched" in text for text in parsed.text), "for all to read"
    assert f"data:image/png;base64,{base64.b64encode(pixel).decode()}" in parsed.sources


def test_markdown_shows_labels_as_they_are() -> None:
    events = journal({"a|b*c_": {"plain": (0.8, 0.82), "<i>": (0.9, 0.95)}}, replays=())
    text = summary(rows(events), events, Exhibits(rows(events), events))
    assert "## a\\|b\\*c\\_" in text and "| \\<i\\> |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}, "every line of the table has its cells"


def test_the_table_says_what_its_scores_are_and_the_page_what_is_better() -> None:
    events = journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=())
    assert "| method | test accuracy, % \\[95 %\\] |" in summary(rows(events), events, Exhibits(rows(events), events))
    events[0]["kinds"] = {"one": "regression"}
    assert "| method | test score \\[95 %\\] |" in summary(rows(events), events, Exhibits(rows(events), events))
    page = html(events)
    assert "higher is better" in page and "1 minus the mean squared error" in page


def test_the_page_needs_nothing_else_and_says_the_sentences() -> None:
    parsed = check_self_contained(html(journal()))
    said = " ".join(parsed.text)
    assert "no difference found at 3 seeds" in said
    assert "tuning spent 4.48 plain trainings" in said
    assert "rotation: helps up to 60 deg" in said
    assert "0123abc" in said
    assert len(parsed.alternatives) == len(SCORES) * len(KINDS)
    assert "augnet 95.1 % at 9.4 plain trainings" in parsed.alternatives[0]


@pytest.mark.parametrize(
    "broken",
    [
        '<p><img alt="" src="https://example.org/x.png"></p>', "<p><b>no</p>", "<script>1</script>",
        "<p>no", '<p onclick="x">no</p>', "<style>@import 'x'</style>",
    ],
)
def test_the_check_itself_rejects(broken: str) -> None:
    with pytest.raises(AssertionError):
        check_self_contained(broken)


def hostile() -> list[Event]:
    writer = Writer(HOSTILE)
    writer.begin([HOSTILE], ["plain", "_" + HOSTILE], 2, {HOSTILE: {"invariant": {HOSTILE: 1.0}, "harmful": {}}})
    writer.trial(HOSTILE, "budget-unit", Stage.UNIT, 0, 1000)
    for method in ("plain", "_" + HOSTILE):
        for seed in (1, 2):
            extra = {"test/score": 0.5 + seed / 10, f"invariance/{HOSTILE}/agreement": 0.5, f"learned/{HOSTILE}": 1.0}
            writer.trial(HOSTILE, method, Stage.RERUN, seed, 1000, extra=extra)
    writer.trial(HOSTILE, "plain", Stage.TUNE, 0, 1000, status=Status.FAILED, reason=HOSTILE)
    writer.done(HOSTILE, "plain", "failed", HOSTILE)
    return writer.events


def test_everything_of_a_user_is_escaped(tmp_path: Path) -> None:
    parsed = check_self_contained(html(hostile()))
    assert HOSTILE in " ".join(parsed.text)
    report.write(hostile(), tmp_path)
    assert all(content(tmp_path).values())
    assert all(re.fullmatch(r"[\w./-]+", name) for name in content(tmp_path)), "a label is no path"


def test_labels_of_several_problems_are_escaped_in_the_big_table(tmp_path: Path) -> None:
    names = ["a|b <i>x</i>", "`c` #d"]
    events = journal({name: {"plain": (0.8, 0.82), "[e]|*f*": (0.9, 0.95)} for name in names}, replays=())
    report.write(events, tmp_path)
    parsed = check_self_contained((tmp_path / "report.html").read_text())
    assert not {"i", "code"} & set(parsed.tags) and set(names) <= {part.strip() for part in parsed.text}
    lines = (tmp_path / "summary.md").read_text().splitlines()
    heads = next(line for line in lines if line.startswith("| method | a"))
    assert heads == r"| method | a\|b \<i\>x\</i\> | \`c\` \#d | one training | everything |"
    assert len([line for line in lines if line.startswith(r"| \[e\]\|\*f\* |")]) == 3, "here, and under each problem"


def test_labels_that_look_like_markup_stay_as_they_are_in_the_terminal() -> None:
    events = journal({"[red]one[/red]": {"plain": (0.8, 0.9), "[/b]": (0.7, 0.9)}}, replays=())
    assert "[red]one[/red]: no difference from plain found: [/b]" in printed(events, 140)

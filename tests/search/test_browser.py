"""The report in a real browser: nothing complains, every figure is there, and nothing sticks out."""

from __future__ import annotations

from pathlib import Path

import pytest

from search import report
from tests.support.browser import CHROMIUM, Seen, look
from tests.support.journals import UNIT_FLOPS, journal, pretrained

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
LONG = {"one": {f"faster_autoaugment-train-{k}": (0.3 + k / 50, 0.9) for k in range(4)} | {
    "plain": (0.4, 0.9), "unrolled": (0.7, 0.8),
}}
WIDTHS = (1280, 400)
SMALLEST = 12.0  # pixels of a letter
IN_FIGURES, POINTS = 9.0, 8.0  # pixels and points of the smallest letters in a figure
# Eight inches wide and shown at 200 pixels.
SQUARE = (
    '<img style="--inches: 8; width: 200px" src="data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 '
    'width=%22300%22 height=%22300%22/%3E">'
)


def check(seen: Seen, width: int, figures: int) -> None:
    assert seen.console == []
    assert seen.measured["width"] == width
    assert seen.measured["scroll"] <= width, f"the page is wider than the window: {seen.measured['wide']}"
    assert seen.measured["wide"] == []
    assert len(seen.measured["images"]) == figures
    assert all(loaded and shown > width / 4 for loaded, shown in seen.measured["images"])
    assert seen.measured["letters"] >= SMALLEST
    assert all(POINTS / 72 * scale >= IN_FIGURES - 0.01 for scale in seen.measured["scales"])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_is_whole_at_every_width(width: int, tmp_path: Path) -> None:
    """Two problems of five figures each; pre-training adds a sixth to one."""
    events = pretrained(journal(), {("digits-rotated", "augnet"): ["k"]}, {"k": 9 * UNIT_FLOPS})
    report.write(events, tmp_path)
    seen = look(tmp_path / "report.html", width)
    check(seen, width, 11)
    assert len(seen.measured["scales"]) == 11


def test_the_table_of_results_shows_every_column_beside_its_figure(tmp_path: Path) -> None:
    """The last one, what everything has cost, was scrolled away at any width of a desktop."""
    report.write(pretrained(journal(LONG), {("one", "unrolled"): ["k"]}, {"k": 9 * UNIT_FLOPS}), tmp_path)
    assert 'class="beside"' in (tmp_path / "report.html").read_text(), "else it has the whole width"
    seen = look(tmp_path / "report.html", 1280).measured
    assert "Scores and costs, one" not in seen["cut"] and None not in seen["cut"]
    assert max(seen["scales"]) < 130, "letters of a small figure are not blown up"


def test_no_table_is_cut_on_paper(tmp_path: Path) -> None:
    """A4 is about 700 pixels between its margins; the rules of paper hold in a window of that width."""
    report.write(journal(LONG, replays=list(LONG["one"])), tmp_path)
    page = tmp_path / "report.html"
    text = page.read_text()
    assert look(page, 700).measured["cut"], "else there was nothing to check"
    page.write_text(text.replace("@media print", "@media all"))
    assert look(page, 700).measured["cut"] == []


@pytest.mark.parametrize(
    "broken",
    [
        "<script>console.error('x')</script>", '<p style="width: 3000px">x</p>', '<p style="font-size: 5px">x</p>',
        '<img src="data:image/png;base64,AAAA">', f'<p class="scroll">{SQUARE}</p>',
    ],
)
def test_the_check_itself_rejects(broken: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><html><body><p>fine</p>{broken}</body></html>")
    with pytest.raises(AssertionError):
        check(look(page, 400), 400, broken.count("<img"))


def test_the_check_accepts_a_plain_page(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<!DOCTYPE html><html><body><p>fine</p></body></html>")
    check(look(tmp_path / "page.html", 400), 400, 0)

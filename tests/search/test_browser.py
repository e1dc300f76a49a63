"""The report in a real browser: nothing complains, every figure is there, and nothing sticks out."""

from __future__ import annotations

from pathlib import Path

import pytest

from search import report
from tests.support.browser import CHROMIUM, Seen, look
from tests.support.journals import UNIT_FLOPS, journal, pretrained

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
WIDTHS = (1280, 400)
SMALLEST = 12.0  # pixels of a letter


def check(seen: Seen, width: int, figures: int) -> None:
    assert seen.console == []
    assert seen.measured["width"] == width
    assert seen.measured["scroll"] <= width, f"the page is wider than the window: {seen.measured['wide']}"
    assert seen.measured["wide"] == []
    assert len(seen.measured["images"]) == figures
    assert all(loaded and shown > width / 4 for loaded, shown in seen.measured["images"])
    assert seen.measured["letters"] >= SMALLEST


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_is_whole_at_every_width(width: int, tmp_path: Path) -> None:
    """Two problems of five figures each; pre-training adds a sixth to one."""
    events = pretrained(journal(), {("digits-rotated", "augnet"): ["k"]}, {"k": 9 * UNIT_FLOPS})
    report.write(events, tmp_path)
    check(look(tmp_path / "report.html", width), width, 11)


@pytest.mark.parametrize(
    "broken",
    [
        "<script>console.error('x')</script>", '<p style="width: 3000px">x</p>', '<p style="font-size: 5px">x</p>',
        '<img src="data:image/png;base64,AAAA">',
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

"""The four files and the terminal: whole, self-contained, escaped, and equal to the rows."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from search import report
from search.analysis import rows
from search.page import amount, page
from search.row import Averaging
from search.tables import record, seed_records, to_csv
from tests.support.journals import SCORES, Writer, journal
from tracking.journal import Event
from tracking.record import Stage, Status

FILES = ["table.csv", "scores.csv", "accuracy_cost.png", "report.html"]
VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = '<script>alert("$x$ & \'y\'")</script>'


class Parsed(HTMLParser):
    """Checks nesting and keeps what a page refers to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.alternatives: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"a handler: {name}"
            if name in ("src", "href", "srcset", "action", "data"):
                self.sources.append(value or "")
            if name == "alt":
                self.alternatives.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> inside <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check_self_contained(text: str) -> Parsed:
    """Parses, and needs nothing from outside: neither in the page nor inside its figures."""
    parsed = Parsed(text)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags), "foreign elements"
    figures = [base64.b64decode(s.partition(",")[2]).decode() for s in parsed.sources if s.startswith("data:")]
    assert len(figures) == len(parsed.sources), "a source that is not inside the file"
    for piece in (text, *figures):
        # Names of XML namespaces and of the document type look like addresses and are never fetched.
        names = re.compile(r'xmlns(:\w+)?="[^"]*"|"-//W3C//DTD SVG 1\.1//EN"\s+"[^"]*"|rdf:resource="[^"]*"')
        assert not re.search(r"https?://|url\((?!#)|@import", names.sub("", piece)), "an address"
    return parsed


def small(seconds: float = 1.0) -> list[Event]:
    """One problem, two methods: enough where only files matter."""
    return journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=(), seconds=seconds)


def html(events: Sequence[Event]) -> str:
    return page(rows(events), events)


def test_four_files_whole_and_nothing_else(tmp_path: Path) -> None:
    written = report.write(journal(), tmp_path / "report")
    assert [path.name for path in written] == FILES
    assert sorted(os.listdir(tmp_path / "report")) == sorted(FILES)
    assert (tmp_path / "report" / "accuracy_cost.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_journal_gives_the_same_bytes(tmp_path: Path) -> None:
    once, twice = (report.write(small(), tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in twice]


def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(small(), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        report.write(small(seconds=2.0), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_page_needs_nothing_else_and_says_the_sentences() -> None:
    parsed = check_self_contained(html(journal()))
    said = " ".join(parsed.text)
    assert "no difference found at 3 seeds" in said
    assert "tuning spent 4.48 plain trainings" in said
    assert "rotation: helps up to 60 deg" in said
    assert "0123abc" in said
    assert len(parsed.alternatives) == len(SCORES)
    assert all("augnet 95.1 % at 9.4 plain trainings" in a for a in parsed.alternatives[:1])


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
    assert all(path.stat().st_size for path in report.write(hostile(), tmp_path))


def test_labels_that_look_like_markup_stay_as_they_are_in_the_terminal() -> None:
    events = journal({"[red]one[/red]": {"plain": (0.8, 0.9), "[/b]": (0.7, 0.9)}}, replays=())
    assert "[red]one[/red]: [/b] and plain" in printed(events, 140)


def printed(events: Sequence[Event], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(*report.terminal(rows(events), events), sep="\n")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_table_fits() -> None:
    text = printed(journal(), 110)
    assert max(map(len, text.splitlines())) <= 110
    for label in ("trivial_augment", "augnet (replay)", "95.1 [92.5, 97.8]", "better (+10.1)", "17.7", "4.48"):
        assert label in text


@pytest.mark.parametrize("count", [0, 1, 90])
def test_an_unfinished_sweep_has_a_report_that_says_so(count: int, tmp_path: Path) -> None:
    events = journal()[:count]
    report.write(events, tmp_path)
    text = (tmp_path / "report.html").read_text()
    check_self_contained(text)
    assert "Read with care" in text
    assert "finished" in printed(events, 110) or "empty" in printed(events, 110)


def test_a_finished_sweep_has_no_warning() -> None:
    assert "Read with care" not in html(journal())


def test_csv_round_trip_equals_the_rows() -> None:
    made = rows(journal())
    read = list(csv.DictReader(io.StringIO(to_csv([record(row) for row in made]))))
    assert len(read) == len(made)
    for line, row in zip(read, made, strict=True):
        assert (line["problem"], line["method"], line["way"]) == (row.problem, row.method, row.way)
        assert float(line["test_score_mean"]) == row.estimates[Averaging.NONE].mean
        assert float(line["test_score_low95"]) == row.estimates[Averaging.NONE].low
        assert float(line["total_flops"]) == row.total.flops
        assert float(line["total_cpu_seconds"]) == row.total.cpu_seconds
        assert line["verdict"] == row.verdict
        assert line["p_holm"] == ("" if row.contrast is None else repr(row.contrast.p_holm))
        assert float(line["rotation_agreement"]) == row.invariances[0].measured["agreement"]
        assert line["total_peak_device_bytes"] == ""  # never measured


def test_scores_csv_has_every_seed() -> None:
    made = rows(journal())
    read = list(csv.DictReader(io.StringIO(to_csv(seed_records(made)))))
    found = {(r["problem"], r["method"], r["way"], int(r["seed"])): float(r["test_score"]) for r in read}
    assert found == {
        (row.problem, row.method, str(row.way), seed): score
        for row in made for seed, score in row.scores[Averaging.NONE].items()
    }


def test_csv_keeps_commas_quotes_and_lines() -> None:
    awkward = 'a,"b"\nc'
    assert next(csv.DictReader(io.StringIO(to_csv([{"x": awkward, "y": None}])))) == {"x": awkward, "y": ""}


def test_waste_is_told_apart() -> None:
    events = journal()
    asked = next(e for e in events if e["kind"] == "asked")
    metrics = {"cost/flops": 12_300.0, "cost/cpu_seconds": 2.0}
    events.append({"kind": "repeated", "uid": asked["uid"], "index": 0, "metrics": metrics})
    assert "Repeated after crashes, in no figure above: 12.3 k FLOPs" in html(events)
    assert "Repeated after crashes" in printed(events, 110)
    assert "Repeated after crashes" not in html(journal())


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "not available"), (0.0, "0"), (0.5, "0.5"), (999, "999"), (1.234e9, "1.23 G")]
)
def test_amounts(value: float | None, shown: str) -> None:
    assert amount(value) == shown

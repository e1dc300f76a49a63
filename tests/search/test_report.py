"""The files and the terminal: whole, self-contained, escaped, and equal to the rows."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pyarrow import parquet
from rich.console import Console

from search import report
from search.analysis import rows
from search.by_problem import LEGEND, MARKS, by_problem
from search.exhibits import Exhibits
from search.figures.style import png, sheet
from search.page import amount, page
from search.row import Averaging
from search.summary import summary
from search.tables import record, seed_records, to_csv, to_parquet
from search.terminal import terminal
from tests.support.journals import SCORES, Writer, journal
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place

TABLES = ["table", "scores", "overall"]
FILES = [f"{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")]
FILES += ["accuracy_cost.png", "summary.md", "report.html"]
KINDS = ("accuracy-cost", "anytime", "ledger", "invariance", "learned")  # nothing is pre-trained
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
    assert all(s.startswith("data:image/") for s in parsed.sources), "a source that is not inside the file"
    vectors = [base64.b64decode(s.partition(",")[2]).decode() for s in parsed.sources if "svg+xml" in s[:20]]
    for piece in (text, *vectors):
        # Names of XML namespaces and of the document type look like addresses and are never fetched.
        names = re.compile(r'xmlns(:\w+)?="[^"]*"|"-//W3C//DTD SVG 1\.1//EN"\s+"[^"]*"|rdf:resource="[^"]*"')
        assert not re.search(r"https?://|url\((?!#)|@import", names.sub("", piece)), "an address"
    return parsed


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


def small(seconds: float = 1.0) -> list[Event]:
    """One problem, two methods: enough where only files matter."""
    return journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=(), seconds=seconds)


def html(events: Sequence[Event]) -> str:
    return page(rows(events), events)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_figure_and_table_whole_and_nothing_else(tmp_path: Path) -> None:
    written = report.write(journal(), tmp_path)
    assert [path.name for path in written] == [*FILES, "figures"]
    figures = [f"figures/{kind}-{problem}" for kind in KINDS for problem in SCORES]
    beside = [f"{name}.{end}" for name in figures for end in ("svg", "png", "csv", "parquet")]
    found = content(tmp_path)
    assert sorted(found) == sorted([*FILES, *beside])
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".parquet": b"PAR1"}
    for name, data in found.items():
        assert data.startswith(starts.get(Path(name).suffix, data[:1]))


def test_the_same_journal_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        report.write(small(), tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(small(), tmp_path)
    before = content(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        report.write(small(seconds=2.0), tmp_path)
    assert content(tmp_path) == before


def test_parquet_holds_what_the_csv_holds() -> None:
    records = [record(row) for row in rows(journal())]
    table = parquet.read_table(io.BytesIO(to_parquet(records))).to_pylist()
    columns = dict.fromkeys(name for one in records for name in one)
    assert table == [{name: one.get(name) for name in columns} for one in records]
    mixed: list[dict[str, object]] = [{"a": 1, "b": None, "c": True}, {"a": "x", "b": None, "c": None}, {"a": 0.5}]
    assert parquet.read_table(io.BytesIO(to_parquet(mixed))).to_pylist() == [
        {"a": "1", "b": None, "c": True}, {"a": "x", "b": None, "c": None}, {"a": "0.5", "b": None, "c": None},
    ]
    assert parquet.read_table(io.BytesIO(to_parquet([]))).num_columns == 0


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


def test_the_images_that_a_method_exports_are_shown(tmp_path: Path) -> None:
    pixel = png(sheet(0.1, 0.1))
    (tmp_path / "exports" / "one" / "augnet").mkdir(parents=True)
    (tmp_path / "exports" / "one" / "augnet" / "contact_sheet.png").write_bytes(pixel)
    (tmp_path / "exports" / "one" / "nobody").mkdir()
    report.write(small(), tmp_path / "report", Place.of(tmp_path / "exports"))
    parsed = check_self_contained((tmp_path / "report" / "report.html").read_text())
    assert [a for a in parsed.alternatives if a.startswith("Example images of one, augnet")]
    assert f"data:image/png;base64,{base64.b64encode(pixel).decode()}" in parsed.sources


def test_markdown_shows_labels_as_they_are() -> None:
    events = journal({"a|b*c_": {"plain": (0.8, 0.82), "<i>": (0.9, 0.95)}}, replays=())
    text = summary(rows(events), events, Exhibits(rows(events), events))
    assert "## a\\|b\\*c\\_" in text and "| \\<i\\> |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}, "every line of the table has its cells"


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


def printed(events: Sequence[Event], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(*terminal(rows(events), events), sep="\n")
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

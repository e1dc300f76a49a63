"""The files and the terminal: whole, and equal to the rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from pyarrow import parquet

from search import leftovers, report
from search.analysis import rows
from search.page import amount
from search.row import Averaging
from search.tables import record, seed_records, to_csv, to_parquet
from tests.support.journals import SCORES, journal
from tests.support.pages import KINDS, check_self_contained, content, html, printed, small
from tracking.storage import Place

TABLES = ["table", "scores", "overall"]
FILES = [f"{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")]
FILES += ["accuracy_cost.svg", "accuracy_cost.png", "summary.md", "report.html"]


def test_every_figure_and_table_whole_and_nothing_else(tmp_path: Path) -> None:
    written = report.write(journal(), tmp_path)
    assert [path.name for path in written] == [*FILES, "figures"]
    figures = [f"figures/{kind}-{problem}" for kind in KINDS for problem in SCORES]
    beside = [f"{name}.{end}" for name in figures for end in ("svg", "png", "csv", "parquet")]
    found = content(tmp_path)
    assert sorted(found) == sorted([*FILES, *beside, leftovers.NAME])
    assert leftovers.written(Place.of(tmp_path)).keys() == {*FILES, *beside}
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

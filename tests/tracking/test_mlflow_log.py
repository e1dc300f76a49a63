"""MLflow follows the journal: everything arrives, nothing arrives twice, nothing comes back to the caller."""

from __future__ import annotations

import logging
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracking import background
from tracking.ledger import Ledger, Phase, PhaseCost
from tracking.mlflow_log import MlflowLog, Store, default_store
from tracking.read import history, reachable, runs

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning:mlflow"
)

SECONDS = 60.0
LEDGER = Ledger({Phase.TRAIN: PhaseCost(flops=10**9)}, uncounted={"aten.odd": 2}).to_json()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrations take seconds, so they run once and every test gets a copy."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:  # MLflow itself sets the variable when a model is loaded
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        reachable(default_store(folder, "template"))
    return folder / "mlflow.db"


@pytest.fixture
def store(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(database.read_bytes())
    return default_store(tmp_path, "comparison")


def journal(trials: int = 2, reports: int = 3, start_ms: int = 1_700_000_000_000) -> list[dict[str, Any]]:
    """The events of a small sweep; the last trial fails."""
    events: list[dict[str, Any]] = []

    def emit(kind: str, **fields: Any) -> None:
        events.append({"seq": len(events), "time_ms": start_ms + 10 * len(events), "kind": kind, **fields})

    emit("sweep", name="s", study={"budget": 3, "problems": ["digits"]}, provenance={"commit": "abc", "dirty": None})
    for trial in range(trials):
        emit("asked", uid=f"t{trial}", problem="digits", method="augnet", stage="tune", index=trial, seed=7,
             config={"lr": 0.1, "recipe": {"batch_size": 32, "long": "x" * 9000}})
    for index in range(reports):
        for trial in range(trials):
            emit("result", uid=f"t{trial}", index=index,
                 metrics={"val/score": 0.5 + index / 10, "cost/flops": 1e8 * index, "learned/rot [deg]": 3.0})
    for trial in range(trials):
        failed = trial == trials - 1
        emit("ended", uid=f"t{trial}", status="failed" if failed else "pruned", reason="nan" if failed else None,
             metrics={"test/score": 0.25, "val/score": 0.5 + (reports - 1) / 10}, ledger=None if failed else LEDGER)
    emit("stage_done", problem="digits", method="augnet", stage="tune", summary={"best/score": 0.7})
    emit("sweep_done")
    return events


def observe(store: Store, events: list[dict[str, Any]]) -> MlflowLog:
    log = MlflowLog(store, "s")
    for event in events:
        log.observe(event)
    assert log.close(SECONDS) == 0, log.errors
    assert log.errors == []
    return log


def dump(store: Store) -> dict[str, list[Any]]:
    """All rows that matter, straight from the database."""
    with sqlite3.connect(store.uri.removeprefix("sqlite:///")) as database:
        tables = {
            "runs": "select run_uuid, name, status, start_time, end_time from runs order by 1",
            "metrics": "select run_uuid, key, value, timestamp, step from metrics order by 1, 2, 5, 4",
            "params": "select run_uuid, key, value from params order by 1, 2",
            "tags": "select run_uuid, key, value from tags order by 1, 2",
        }
        found = {name: database.execute(query).fetchall() for name, query in tables.items()}
    database.close()
    return found


def test_a_sweep_arrives_in_full(store: Store) -> None:
    events = journal()
    observe(store, events)
    first, second = runs(store, "s")
    assert (first["status"], first["tags"]["outcome"]) == ("FINISHED", "pruned")
    assert (second["status"], second["tags"]["outcome"], second["tags"]["reason"]) == ("FAILED", "failed", "nan")
    assert first["params"]["lr"] == "0.1"
    assert first["params"]["recipe.batch_size"] == "32"
    assert len(first["params"]["recipe.long"]) == 6000
    assert first["params"]["seed"] == "7"
    assert {n: first["tags"][n] for n in ("sweep", "uid", "problem", "method", "stage", "phase", "seed", "index")} == {
        "sweep": "s", "uid": "t0", "problem": "digits", "method": "augnet", "stage": "tune", "phase": "tune",
        "seed": first["params"]["seed"], "index": "0"}
    assert first["tags"]["mlflow.source.git.commit"] == "abc"
    assert first["metrics"]["cost/train/flops"] == 1e9
    assert first["metrics"]["learned/rot _deg_"] == 3.0
    assert first["metrics"]["test/score"] == 0.25
    assert first["tags"]["uncounted.aten.odd"] == "2"
    reports = [e for e in events if e["kind"] == "result" and e["uid"] == "t0"]
    expected = [(e["index"], e["time_ms"], e["metrics"]["val/score"]) for e in reports]
    assert history(store, first["run_id"], "val/score") == expected  # the journal's times, no second last point
    assert (first["start_ms"], first["end_ms"]) == (events[1]["time_ms"], events[-4]["time_ms"])
    rows = dump(store)
    assert len(rows["runs"]) == 4  # the sweep, the parent, two trials
    assert {row[2] for row in rows["runs"]} == {"FINISHED", "FAILED"}
    parent = first["tags"]["mlflow.parentRunId"]
    assert (parent, "tune/best/score", 0.7) in [row[:3] for row in rows["metrics"]]
    assert any(key == "budget" for _, key, _ in rows["params"])


def test_a_bred_trial_names_its_generation_and_whom_it_goes_on_from(store: Store) -> None:
    events = journal()
    asked = [event for event in events if event["kind"] == "asked"]
    asked[0] |= {"generation": 0, "parent": None}
    asked[1] |= {"generation": 1, "parent": "t0"}
    observe(store, events)
    first, second = runs(store, "s")
    assert first["tags"]["generation"] == "0" and "parent" not in first["tags"]
    assert (second["tags"]["generation"], second["tags"]["parent"]) == ("1", "t0")


@pytest.mark.parametrize("cut", [1, 3, 6, 9, 11])
def test_a_crash_and_a_replay_store_the_same_as_an_undisturbed_sweep(
    store: Store, tmp_path: Path, database: Path, cut: int
) -> None:
    events = journal()
    observe(store, events[:cut])
    observe(store, events)
    replayed = dump(store)
    (tmp_path / "calm").mkdir()
    (tmp_path / "calm" / "mlflow.db").write_bytes(database.read_bytes())
    calm_store = default_store(tmp_path / "calm", "comparison")
    observe(calm_store, events)
    assert _anonymous(replayed) == _anonymous(dump(calm_store))


def _anonymous(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Runs by name instead of by random id; end times of interrupted parents aside."""
    names = {row[0]: row[1] for row in rows["runs"]}
    return {
        "runs": sorted(row[1:4] for row in rows["runs"]),
        **{
            table: sorted(
                (names[row[0]], *(names.get(v, v) if isinstance(v, str) else v for v in row[1:]))
                for row in rows[table]
            )
            for table in ("metrics", "params", "tags")
        },
    }


def test_a_second_replay_changes_no_row(store: Store) -> None:
    observe(store, journal())
    before = dump(store)
    observe(store, journal())
    assert dump(store) == before


def test_rows_that_were_stored_without_their_mark_are_not_doubled(store: Store) -> None:
    """A crash between the rows and the mark: the same rows come again, and the store knows them."""
    observe(store, journal())
    before = dump(store)
    path = store.uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as database:
        database.execute("update tags set value = '-1' where key = 'written_seq'")
    database.close()
    observe(store, journal())
    after = dump(store)
    assert (after["metrics"], after["params"], len(after["runs"])) == (before["metrics"], before["params"], 4)


def test_a_new_sweep_of_the_same_name_gets_runs_of_its_own(store: Store) -> None:
    observe(store, journal())
    observe(store, journal(start_ms=1_800_000_000_000))
    assert len(runs(store, "s")) == 4


def test_an_interrupted_trial_is_killed_and_goes_on(store: Store) -> None:
    events = journal()
    observe(store, events[:6])
    assert [run["status"] for run in runs(store, "s")] == ["KILLED", "KILLED"]
    before = [run["run_id"] for run in runs(store, "s")]
    resumed = {"seq": 6, "time_ms": events[6]["time_ms"], "kind": "resumed", "provenance": {"commit": "def"}}
    observe(store, [*events[:6], resumed, *({**event, "seq": event["seq"] + 1} for event in events[6:])])
    assert [run["run_id"] for run in runs(store, "s")] == before
    assert [run["status"] for run in runs(store, "s")] == ["FINISHED", "FAILED"]
    assert {row[2] for row in dump(store)["runs"]} == {"FINISHED", "FAILED"}


def test_a_sweep_that_did_not_end_is_not_finished(store: Store) -> None:
    """All its trials have ended, but it was stopped at a limit, say: only `sweep_done` finishes it."""
    events = journal()
    stopped = {"seq": len(events) - 1, "time_ms": events[-1]["time_ms"], "kind": "interrupted", "by": "limit"}
    observe(store, [*events[:-1], stopped])
    assert sorted(row[2] for row in dump(store)["runs"]) == ["FAILED", "FINISHED", "KILLED", "KILLED"]
    resumed = {"seq": len(events), "time_ms": events[-1]["time_ms"] + 1, "kind": "resumed", "provenance": {}}
    done = {"seq": len(events) + 1, "time_ms": events[-1]["time_ms"] + 2, "kind": "sweep_done"}
    observe(store, [*events[:-1], stopped, resumed, done])
    assert {row[2] for row in dump(store)["runs"]} == {"FINISHED", "FAILED"}


def test_files_are_attached_to_the_sweeps_run(store: Store, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>")
    log = MlflowLog(store, "s")
    for event in journal():
        log.observe(event)
    log.attach([report, tmp_path / "missing.html"])
    assert log.close(SECONDS) == 0
    assert len(log.errors) == 1
    assert "missing.html" in log.errors[0]
    assert [path.read_text() for path in (tmp_path / "mlartifacts").rglob("report.html")] == ["<p>"]


def test_a_malformed_event_is_counted_and_the_rest_arrives(store: Store) -> None:
    events = journal()
    log = MlflowLog(store, "s")
    for event in [events[0], {"seq": 99, "time_ms": 1, "kind": "result", "uid": "nobody"}, *events[1:]]:
        log.observe(event)
    assert log.close(SECONDS) == 1
    assert "malformed" in log.errors[0]
    assert len(runs(store, "s")) == 2


def test_an_unreachable_store_loses_nothing_and_tells_how_much_is_left(tmp_path: Path) -> None:
    log = MlflowLog(Store(f"http://127.0.0.1:{_closed_port()}", "e", None), "s")
    events = journal()
    began = time.monotonic()
    for event in events:
        log.observe(event)
    assert time.monotonic() - began < 0.5
    assert log.close(0.7) == len(events)
    assert time.monotonic() - began < 5.0
    assert log.errors


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_events_wait_for_a_store_that_comes_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    healthy, failures = MlflowClient.log_batch, [OSError("gone"), OSError("gone"), OSError("still gone")]

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if failures:
            raise failures.pop()
        return healthy(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", flaky)
    monkeypatch.setattr(background, "FIRST_PAUSE_SECONDS", 0.05)
    log = MlflowLog(store, "s")
    for event in journal():
        log.observe(event)
    assert log.close(SECONDS) == 0
    assert sorted(log.errors) == ["gone", "still gone"]
    first, _ = runs(store, "s")
    assert len(history(store, first["run_id"], "val/score")) == 3
    assert len(dump(store)["runs"]) == 4


def test_importing_the_observer_imports_no_mlflow() -> None:
    code = (
        "import sys, tracking.mlflow_log, tracking.read, tracking.provenance\n"
        "sys.exit(bool({'mlflow', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0


@pytest.fixture(autouse=True)
def _quiet_loggers() -> Iterator[None]:
    """MLflow sets levels of its own loggers; other tests must not depend on this file having run."""
    yield
    logging.getLogger("alembic").setLevel(logging.NOTSET)

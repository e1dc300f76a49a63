"""Sync: MLflow gets what it has missed, once, and a store that cannot be used is told."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from search import sync as syncing
from search.sync import sync
from tests.support.journals import journal, stored
from tracking.errors import StorageError, UserError
from tracking.journal import Journal

Captured = pytest.CaptureFixture[str]


def test_sync_is_refused_while_a_driver_writes(tmp_path: Path) -> None:
    made = stored(tmp_path, journal()[:40])
    with Journal(made.place), pytest.raises(UserError, match="one process at a time"):
        sync("one", str(tmp_path), None)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "htp://nowhere", "sqlite:////proc/nowhere/x.db"])
def test_sync_with_a_store_that_cannot_be_used_says_so_at_once(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the ten minutes that a slow one is given."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    stored(tmp_path, journal()[:40])
    monkeypatch.setattr(syncing, "MlflowLog", None)  # nothing is begun
    with pytest.raises(StorageError) as told:
        sync("one", str(tmp_path), None)
    assert told.value.got.startswith(f"{uri}: ") and "\n" not in told.value.got


class Unavailable(BaseHTTPRequestHandler):
    """A proxy whose server is down."""

    def do_GET(self) -> None:
        self.send_error(503)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        return


@pytest.mark.timeout(60)  # MLflow by itself would ask on for minutes
def test_sync_with_a_server_that_answers_with_errors_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path, journal()[:40])
    with HTTPServer(("127.0.0.1", 0), Unavailable) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(StorageError, match="MLflow must answer"):
            sync("one", str(tmp_path), None)
        server.shutdown()
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_sync_writes_what_mlflow_missed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracking.mlflow_log import default_store
    from tracking.read import runs

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    events = journal()
    stored(tmp_path, events)
    for _ in range(2):
        assert sync("one", str(tmp_path), None) == 0
    uids = sorted(run["tags"]["uid"] for run in runs(default_store(tmp_path, "one"), "one"))
    assert uids == sorted(event["uid"] for event in events if event["kind"] == "asked")
    page = tmp_path / "mlartifacts"
    assert len(list(page.rglob("report.html"))) == 1 and list(page.rglob("accuracy_cost.png"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_report_that_cannot_be_made_keeps_nothing_from_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    from tracking.mlflow_log import default_store
    from tracking.read import runs

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(syncing.reports, "write", full)
    stored(tmp_path, journal())
    assert sync("one", str(tmp_path), None) == 0
    assert "is not attached" in capsys.readouterr().err
    assert len(runs(default_store(tmp_path, "one"), "one")) == sum(event["kind"] == "asked" for event in journal())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_sweep_that_has_not_ended_gets_no_report_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    stored(tmp_path, journal()[:40])
    assert sync("one", str(tmp_path), None) == 0
    assert not list((tmp_path / "mlartifacts").rglob("report.html"))

"""MLflow on PostgreSQL by the recipe's own script, on loopback, under two sweeps at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.journals import journal
from tests.support.ports import free_port
from tracking.mlflow_log import MlflowLog
from tracking.read import Store, history, runs

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "mlflow-postgres" / "start.sh"
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SERVERS, reason="PostgreSQL is not installed")]


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """A running server."""
    folder = Path(tempfile.mkdtemp(prefix="invsearch-postgres-"))
    folder.chmod(0o755)  # the database has a user of its own where root starts it
    port = free_port()
    environment = os.environ | {
        "PORT": str(port), "DATABASE_PORT": str(free_port()), "WORKERS": "1",
        "INVSEARCH_BIN": str(Path(sys.executable).parent), "POSTGRES_BIN": str(SERVERS[-1].parent),
    }
    with (folder / "said").open("w") as said:
        server = subprocess.Popen(["bash", SCRIPT, folder / "store"], env=environment, stdout=said,
                                  stderr=said, cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, folder / "said")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        assert not (folder / "store" / "data" / "postmaster.pid").exists()  # the database went down in order
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(url: str, server: subprocess.Popen[bytes], said: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, said.read_text()
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(said.read_text())


def test_two_sweeps_write_at_once_and_nothing_is_lost_or_mixed(uri: str) -> None:
    sweeps = {name: journal(name=name, seconds=seconds) for name, seconds in (("one", 1.0), ("two", 3.0))}
    stores = {name: Store(uri, "shared", None) for name in sweeps}
    logs = {name: MlflowLog(stores[name], name) for name in sweeps}
    for pair in zip(*sweeps.values(), strict=True):
        for name, event in zip(sweeps, pair, strict=True):
            logs[name].observe(event)
    assert [log.close(240.0) for log in logs.values()] == [0, 0]
    for name, events in sweeps.items():
        stored = {run["tags"]["uid"]: run for run in runs(stores[name], name)}
        assert stored.keys() == {e["uid"] for e in events if e["kind"] == "asked"}
        uid = next(e["uid"] for e in events if e["kind"] == "result")
        wanted = [(e["index"], e["time_ms"], e["metrics"]["val/score"]) for e in events
                  if e["kind"] == "result" and e["uid"] == uid]
        assert history(stores[name], stored[uid]["run_id"], "val/score") == wanted


def test_a_report_goes_into_the_artefact_store(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    page = tmp_path / "report.html"
    page.write_text("<p>numbers</p>")
    store = Store(uri, "attached", None)
    log = MlflowLog(store, "one")
    for event in journal(name="one"):
        log.observe(event)
    log.attach(page)
    assert log.close(240.0) == 0
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("attached").experiment_id
    (run,) = client.search_runs([experiment], "tags.role = 'sweep'")
    assert [found.path for found in client.list_artifacts(run.info.run_id, "report")] == ["report/report.html"]

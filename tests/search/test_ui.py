"""`invsearch ui` opens the store that the sweeps write to, and says at once where it cannot."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from search.ui import command, show
from tests.support.ports import free_port
from tracking.errors import UserError
from tracking.mlflow_log import default_store
from tracking.read import reachable

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning:mlflow"
)
SECONDS = 90.0


def test_without_a_store_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="run `invsearch compare` first"):
        show(str(tmp_path), 5000)
    assert list(tmp_path.iterdir()) == [], "looking makes no database"


@pytest.mark.parametrize("content", [b"\x88\x94Ga" * 999, b"SQLite format 3\0" + b"\xff" * 999, None])
def test_what_is_no_database_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("search.ui.subprocess.call", lambda words: pytest.fail("MLflow was started"))
    path = tmp_path / "mlflow.db"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match="must be readable" if content is None else "must be an SQLite database"):
        show(str(tmp_path), 5000)


def test_a_database_that_is_in_use_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("search.ui.subprocess.call", lambda words: 7)
    monkeypatch.setattr("search.ui.WAIT_SECONDS", 0.0)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("create table experiments (name text)")
        database.execute("begin exclusive")
        assert show(str(tmp_path), 5000) == 7


def test_a_server_is_opened_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    with pytest.raises(UserError, match="MLflow's pages are on its server"):
        show(str(tmp_path), 5000)


def test_it_listens_on_this_machine_alone(tmp_path: Path) -> None:
    words = command(default_store(tmp_path, "x"), 5001)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--backend-store-uri") + 1] == f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.slow
def test_the_pages_come_and_ctrl_c_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    reachable(default_store(tmp_path, "x"))
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "search.cli", "ui", "--root", str(tmp_path), "--port", str(port)],
        start_new_session=True, stdout=subprocess.PIPE, text=True,
    )
    try:
        assert answers(f"http://127.0.0.1:{port}", time.monotonic() + SECONDS)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=SECONDS)
    assert f"http://127.0.0.1:{port}" in said


def answers(address: str, until: float) -> bool:
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(address, timeout=5) as page:
                return bool(page.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False

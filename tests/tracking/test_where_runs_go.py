"""Which MLflow store runs go to, and that several processes may make it at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tracking.mlflow_log import Store, default_store


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.example:5000")
    assert default_store(tmp_path, "e") == Store("http://tracker.example:5000", "e", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/one/two.db")
    assert default_store(tmp_path, "e").artifact_root == tmp_path / "one" / "mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://somewhere/one")
    assert default_store(tmp_path, "e").artifact_root == tmp_path / "mlartifacts"


@pytest.mark.slow
def test_processes_that_make_the_same_store_at_once_all_succeed(tmp_path: Path) -> None:
    code = "import sys, pathlib; from tracking.read import *; reachable(default_store(pathlib.Path(sys.argv[1]), 'e'))"
    root = Path(__file__).resolve().parents[2]
    made = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in made]
    assert [process.returncode for process in made] == [0, 0], said
    assert "INFO" not in "".join(said)  # no chatter of migrations
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
    database.close()

"""Which MLflow store runs go to, and that several processes may make it at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tracking.errors import UserError
from tracking.mlflow_log import Store, default_store
from tracking.read import experiment_id
from tracking.storage import Place


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.example:5000")
    assert default_store(tmp_path, "e") == Store("http://tracker.example:5000", "e", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/one/two.db")
    assert default_store(tmp_path, "e").artifact_root == tmp_path / "one" / "mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://somewhere/one")
    assert default_store(tmp_path, "e").artifact_root == tmp_path / "mlartifacts"


@pytest.mark.parametrize("name", ["what?x=1", "a%20b"])
def test_a_path_that_a_uri_would_change_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs would go to another file, or nowhere."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
        default_store(tmp_path / name, "e")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.example:5000")
    assert default_store(tmp_path / name, "e").uri == "http://tracker.example:5000"


def test_other_strange_paths_are_where_the_database_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "sp ace ü + 100% #1"
    folder.mkdir()
    database = make_url(default_store(folder, "e").uri).database
    assert database == str(folder / "mlflow.db")


class Client:
    """Of an MLflow that knows no experiment; keeps where a new one's artefacts go."""

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str, artifact_location: str) -> str:
        self.location = Place.of(artifact_location)
        return name


def test_an_experiments_artefacts_lie_in_one_folder_of_the_root(tmp_path: Path) -> None:
    """Whatever it is called, such as by a path on Databricks; each in its own."""
    names = ["team", "my team.1", "größe", "/Shared/team", "Shared/team", "../../up", "..", ".", "?"]
    names += ["a" * 300, "a" * 301]
    found = []
    for name in names:
        client = Client()
        assert experiment_id(client, Store("sqlite:///x", name, tmp_path)) == name  # type: ignore[arg-type]
        found.append(client.location)
    assert all(place.parent == Place.of(tmp_path) for place in found)
    assert [place.name for place in found[:3]] == names[:3]  # as ever
    assert len(set(found)) == len(names) and all(len(place.name) < 100 for place in found)


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

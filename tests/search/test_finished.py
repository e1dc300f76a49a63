"""What a sweep that has ended, was copied or holds nothing says to commands that would change or read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from search import looking, runner, sweep
from search import store as stores
from search.optuna_export import export_sweep
from search.sweep import Sweep
from search.verify import verify_sweep
from tests.support.journals import journal
from tests.support.simulation import comparison
from tracking.errors import UserError
from tracking.journal import Event
from tracking.mlflow_log import Store, default_store
from tracking.storage import Place


def ended(root: Path, events: Sequence[Event], name: str = "one") -> Sweep:
    made = sweep.create(Place.of(root / name), comparison())
    (root / name / "journal.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return made


@pytest.mark.parametrize(("given", "word"), [
    ("foo", "foo"), ("no_such_field=1", "no_such_field"), ("limits.wall_seconds=5", "nothing left"),
])
def test_settings_for_a_finished_sweep_are_refused(tmp_path: Path, given: str, word: str) -> None:
    """Bad ones for what they are, good ones because nothing would come of them."""
    made = ended(tmp_path, journal())
    assert made.events()[-1]["kind"] == "sweep_done"
    with pytest.raises(UserError, match=word):
        runner.resume(made, overrides=[given])
    assert runner.resume(made).code is runner.ExitCode.DONE


def test_a_copied_sweep_is_told_where_its_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(stores.TRACKING_VARIABLE, raising=False)
    base = Place.of(tmp_path / "copy")
    own, other = (default_store(tmp_path / name, "x").uri for name in ("copy", "original"))
    store, note = stores.chosen(base, "x", other)
    assert store.uri == other and note is not None and other in note
    assert stores.chosen(base, "x", own) == (default_store(tmp_path / "copy", "x"), None)  # the control: not copied


def test_artefacts_lie_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server's sweep that goes on without the variable, with a database elsewhere, and with one of no file."""
    base = Place.of(tmp_path / "sweeps")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert stores.chosen(base, "e", "http://server:5000")[0] == Store("http://server:5000", "e", None)
    there = f"sqlite:///{tmp_path}/there/mlflow.db"
    assert stores.chosen(base, "e", there)[0] == Store(there, "e", tmp_path / "there" / "mlartifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://server/runs")
    assert stores.chosen(base, "e")[0].artifact_root == tmp_path / "sweeps" / "mlartifacts"


def test_an_empty_journal_is_nothing_to_go_by(tmp_path: Path) -> None:
    ended(tmp_path, [], "empty")
    file = tmp_path / "out.db"
    with pytest.raises(UserError, match="to verify"):
        verify_sweep("empty", str(tmp_path))
    with pytest.raises(UserError, match="to export"):
        export_sweep("empty", str(tmp_path), str(file))
    assert not file.exists()


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="in a folder"):
        looking.status(None, str(tmp_path / "file"))
    looking.status(None, str(tmp_path / "not yet there"))

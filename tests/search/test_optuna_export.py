"""The export: Optuna reads back what the journal holds, and its dashboard serves it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna_dashboard import wsgi

from search.optuna_export import export
from search.study import Comparison
from spaces.distributions import distributions
from tests.support.simulation import Simulation, Stopped, comparison
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Stage

STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "budget": "PRUNED", "failed": "FAIL", None: "RUNNING"}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def half_done(**changes: Any) -> tuple[Comparison, list[Event]]:
    """A sweep that still runs, in which a trial in fifty died."""
    described, events = comparison(retries=dict.fromkeys(("died", "hung", "memory"), 0), **changes), list[Event]()
    with pytest.raises(Stopped):
        Simulation(described, events, order=4, deaths=0.02, stop_after=330).run()
    return described, events


def opened(file: Path) -> Any:
    return f"sqlite:///{file}" if file.suffix == ".db" else JournalStorage(JournalFileBackend(str(file)))


@pytest.mark.parametrize(
    ("target", "sampler"),
    [("x.log", "tpe"), pytest.param("x.db", "tpe", marks=pytest.mark.slow), ("x.log", "nsga_ii"), ("x.log", "motpe")],
)
def test_optuna_reads_back_what_the_journal_holds(tmp_path: Path, target: str, sampler: str) -> None:
    described, events = half_done(sampler=sampler)
    given = f"sqlite:///{tmp_path}/x.db" if target == "x.db" else str(tmp_path / target)
    file = export("mine", described, events, given)
    assert sorted(path.name for path in tmp_path.iterdir()) == [target]
    storage, two = opened(file), sampler != "tpe"
    asked = [e for e in events if e["kind"] == "asked" and e["stage"] == Stage.TUNE]
    ends = {e["uid"]: e["status"] for e in events if e["kind"] == "ended"}
    names = {f"mine/{p.label}/{m.key}" for p in described.problems for m in described.methods}
    assert set(optuna.get_all_study_names(storage=storage)) == names
    found = {}
    for name in names:
        study = optuna.load_study(study_name=name, storage=storage)
        assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"][: 1 + two]
        found |= {trial.user_attrs["uid"]: trial for trial in study.trials}
    assert list(found.keys() - {e["uid"] for e in asked}) == [] and len(found) == len(asked)
    for event in asked:
        trial = found[event["uid"]]
        method = next(m for m in described.methods if m.key == event["method"])
        mine = [e for e in events if e["kind"] == "result" and e["uid"] == event["uid"] and e["score"] is not None]
        assert trial.state.name == STATES[ends.get(event["uid"])]
        assert trial.params == {name: event["config"][name] for name in method.space().names}
        assert trial.distributions == distributions(method.space())
        assert trial.intermediate_values == {e["index"]: e["score"] for e in mine if e["ready"]}
        assert trial.user_attrs["flops"] == (mine[-1]["flops"] if mine else 0)
        if trial.state.name == "COMPLETE":
            assert trial.values == mine[-1]["values"]
    states = {trial.state.name for trial in found.values()}
    assert states >= ({"COMPLETE", "RUNNING"} if two else {"COMPLETE", "PRUNED", "RUNNING", "FAIL"})


@pytest.mark.parametrize("target", [pytest.param("x.log", marks=pytest.mark.slow), "x.db"])
def test_the_dashboard_serves_it(tmp_path: Path, target: str) -> None:
    described, events = half_done()
    application = wsgi(opened(export("mine", described, events, str(tmp_path / target))))

    def get(path: str) -> Any:
        told: list[str] = []
        request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.input": io.BytesIO(),
                   "SERVER_NAME": "none", "SERVER_PORT": "0", "wsgi.url_scheme": "http"}
        body = b"".join(application(request, lambda status, headers, *rest: told.append(status)))
        assert told == ["200 OK"]
        return json.loads(body)

    studies = {s["study_name"]: s["study_id"] for s in get("/api/studies")["study_summaries"]}
    assert set(studies) == {f"mine/{p.label}/{m.key}" for p in described.problems for m in described.methods}
    assert len(get(f"/api/studies/{studies['mine/one/plain']}")["trials"]) > 2


def test_warm_observations_are_exported_with_their_source(tmp_path: Path) -> None:
    described, events = half_done()
    seen = {"source": "before: one/plain/tune-000", "point": {"learning_rate": 0.1, "weight_decay": 1e-4},
            "score": None, "flops": 7, "steps": [[1, 0.5], [2, 0.6]]}
    events = [{"kind": "sweep", "seq": 0, "time_ms": 0, "warm": {"one/plain": [seen]}}, *events]
    file = export("mine", described, events, str(tmp_path / "x.log"))
    first = optuna.load_study(study_name="mine/one/plain", storage=opened(file)).trials[0]
    assert (first.user_attrs["warm_start"], first.state.name, first.value) == (seen["source"], "PRUNED", 0.6)


@pytest.mark.parametrize("target", ["x.csv", "mysql://u@h/d.db", "sqlite:///x.log", "x"])
def test_another_kind_of_storage_is_refused(target: str) -> None:
    with pytest.raises(UserError, match="SQLite"):
        export("mine", comparison(), [], target)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("precious")
    with pytest.raises(UserError, match="overwrites nothing"):
        export("mine", comparison(), [], str(tmp_path / "x.db"))
    assert (tmp_path / "x.db").read_text() == "precious"
    with pytest.raises(UserError, match="writable"):
        export("mine", comparison(), [], str(tmp_path / "nowhere" / "x.db"))

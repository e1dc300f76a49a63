"""Artefacts in MLflow: a run with cost and progress, a model version that says where it is; nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tracking.test_mlflow_log import database, observe, store  # noqa: F401 - the fixtures
from tracking import mlflow_writer
from tracking.ledger import Ledger, Phase, PhaseCost
from tracking.mlflow_log import MlflowLog, Store
from tracking.mlflow_models import model_name
from tracking.read import connect, history

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning:mlflow"
)
KEY, NAME = "0123456789abcdef" * 2, "invsearch.extractor.digits"
SPEC = {
    "maker": "extractor", "settings": {"horizon": 12, "network": {"width": 3}}, "data_seed": 0, "seed": 0,
    "source": {"label": "digits", "source": {"name": "digits"}},
}
LEDGER = Ledger({Phase.PRETRAIN: PhaseCost(flops=900, unlabelled_reads=64, wall_seconds=2.5)})
UID = f"artefacts/{KEY[:12]}"


def journal(cached: bool = False, sha256: str = "5" * 64) -> list[dict[str, Any]]:
    """A sweep that makes, or finds, one artefact."""
    events: list[dict[str, Any]] = []

    def emit(kind: str, **fields: Any) -> None:
        events.append({"seq": len(events), "time_ms": 1_700_000_000_000 + 10 * len(events), "kind": kind, **fields})

    emit("sweep", name="s", comparison={"budget": 3}, provenance={"commit": "abc"})
    made: dict[str, Any] = {
        "key": KEY, "label": "extractor on digits", "spec": SPEC, "uri": f"s3://bucket/artefacts/{KEY}",
        "sha256": sha256, "size": 77, "ledger": LEDGER.to_json(), "cached": cached,
    }
    if cached:
        emit("artefact", **made)
    else:
        emit("asked", uid=UID, problem="artefacts", method="extractor", stage="artefact", index=0, seed=0,
             config=SPEC["settings"], key=KEY, label="extractor on digits")
        for index in range(3):
            metrics = {"artefact/progress": (index + 1) / 3, "pretrain/loss": 1.0 / (index + 1)}
            emit("result", uid=UID, index=index, metrics=metrics | (LEDGER.metrics() if index == 2 else {}))
        emit("artefact", uid=UID, **made)
        emit("ended", uid=UID, status="complete", reason=None, metrics={}, ledger=LEDGER.to_json())
    emit("sweep_done")
    return events


def versions(store: Store) -> list[tuple[str, str, dict[str, str]]]:  # noqa: F811
    found = connect(store).search_model_versions(f"name = '{NAME}'")
    return sorted((v.source, v.run_id, dict(v.tags)) for v in found)


def artefact_runs(store: Store) -> list[Any]:  # noqa: F811
    client = connect(store)
    experiment = client.get_experiment_by_name(store.experiment).experiment_id
    return list(client.search_runs([experiment], "tags.`artefact.key` != ''"))


def test_one_that_was_made_is_its_trial_with_progress_cost_and_description(store: Store) -> None:  # noqa: F811
    observe(store, journal())
    (run,) = artefact_runs(store)
    assert (run.info.status, run.data.tags["role"], run.data.tags["uid"]) == ("FINISHED", "trial", UID)
    assert run.data.tags["artefact.key"] == KEY and run.data.tags["artefact.uri"].endswith(KEY)
    assert run.data.params["artefact.settings.network.width"] == "3" and run.data.params["horizon"] == "12"
    assert run.data.params["artefact.source.label"] == "digits"
    assert run.data.metrics["cost/pretrain/flops"] == 900 and run.data.metrics["cost/unlabelled_reads"] == 64
    curve = history(store, run.info.run_id, "artefact/progress")
    assert [(step, value) for step, _, value in curve] == [(k, pytest.approx((k + 1) / 3)) for k in range(3)]
    ((source, run_id, tags),) = versions(store)
    assert (source, run_id) == (f"s3://bucket/artefacts/{KEY}", run.info.run_id)
    assert (tags["key"], tags["sha256"], tags["size_bytes"]) == (KEY, "5" * 64, "77")


def test_one_that_was_found_gets_a_run_with_the_cost_of_its_making(store: Store) -> None:  # noqa: F811
    observe(store, journal(cached=True))
    (run,) = artefact_runs(store)
    assert (run.info.status, run.data.tags["role"]) == ("FINISHED", "artefact")
    assert run.data.metrics["cost/pretrain/flops"] == 900
    assert run.data.tags["artefact.cached"] == "true"
    assert run.data.tags["mlflow.parentRunId"]
    assert [source for source, _, _ in versions(store)] == [f"s3://bucket/artefacts/{KEY}"]


@pytest.mark.parametrize("cached", [False, True])
def test_nothing_is_stored_twice(store: Store, cached: bool) -> None:  # noqa: F811
    """The whole journal again, in two halves, as after a crash; then a sweep that finds the same."""
    events = journal(cached)
    observe(store, events[: len(events) // 2 + 1])
    for _ in range(2):
        observe(store, events)
    assert len(artefact_runs(store)) == len(versions(store)) == 1
    other = MlflowLog(store, "another")
    for event in journal(cached=True):
        other.observe(event)
    assert other.close(60.0) == 0
    assert len(versions(store)) == 1, "the same content is the same version"
    third = MlflowLog(store, "third")
    for event in journal(cached=True, sha256="6" * 64):
        third.observe(event)
    assert third.close(60.0) == 0
    assert len(versions(store)) == 2, "the control"


def test_a_registry_that_fails_hurts_nothing_and_is_asked_again(
    store: Store, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    def refused(*arguments: Any) -> None:
        raise RuntimeError("no registry here")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_writer, "register", refused)
        log = MlflowLog(store, "s")
        for event in journal():
            log.observe(event)
        assert log.close(60.0) == 0
        assert any("could not be registered as a model: no registry here" in error for error in log.errors)
    (run,) = artefact_runs(store)
    assert run.info.status == "FINISHED" and run.data.metrics["cost/pretrain/flops"] == 900
    assert versions(store) == []
    observe(store, journal())
    assert len(versions(store)) == 1


def test_names_are_such_that_a_registry_takes_them(store: Store) -> None:  # noqa: F811
    odd = SPEC | {"source": {"label": "a b/c:d'é"}}
    assert model_name(odd) == "invsearch.extractor.a-b-c-d-"
    client = connect(store)
    client.create_registered_model(model_name(odd))
    assert client.search_registered_models(f"name = '{model_name(odd)}'")


def test_an_interrupted_sweep_does_not_take_a_finished_artefact_with_it(store: Store) -> None:  # noqa: F811
    observe(store, journal(cached=True)[:-1])
    (run,) = artefact_runs(store)
    assert run.info.status == "FINISHED"


def test_the_folder_of_a_local_store_is_a_source_too(store: Store, tmp_path: Path) -> None:  # noqa: F811
    events = [e | ({"uri": str(tmp_path / KEY)} if e["kind"] == "artefact" else {}) for e in journal()]
    observe(store, events)
    assert [source for source, _, _ in versions(store)] == [str(tmp_path / KEY)]

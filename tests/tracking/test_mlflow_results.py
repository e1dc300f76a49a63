"""What MLflow's own views compare: results on parent runs, data sets, and the best network as a model that loads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from search.analysis import rows
from search.best_network import best_networks
from search.results import results
from tests.support.journals import Writer, journal
from tests.tracking.test_mlflow_log import database, store  # noqa: F401 - the fixtures
from tracking.journal import Event
from tracking.mlflow_log import MlflowLog, Store
from tracking.mlflow_results import dataset_input, problems_of
from tracking.read import connect
from tracking.record import Stage, Status
from tracking.storage import Place
from trainables.program import program

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning:mlflow", "ignore::UserWarning"
)
SECONDS, SHAPE = 120.0, (1, 6, 6)


def told(into: Store, events: list[Event], networks: list[Any] | None = None) -> MlflowLog:
    log = MlflowLog(into, "s")
    for event in events:
        log.observe(event)
    log.results(results(rows(events)))
    log.networks(networks or [])
    assert log.close(SECONDS) == 0
    return log


def parents(within: Store) -> dict[str, Any]:
    client = connect(within)
    experiment = client.get_experiment_by_name(within.experiment)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.role = 'parent'")
    return {run.info.run_name: run for run in found}


def test_a_studys_result_is_on_its_parent_run_once(store: Store) -> None:  # noqa: F811
    events = journal()
    told(store, events)
    before = {name: (dict(run.data.metrics), dict(run.data.params)) for name, run in parents(store).items()}
    told(store, events)
    after = {name: (dict(run.data.metrics), dict(run.data.params)) for name, run in parents(store).items()}
    assert before == after
    metrics, params = before["digits-rotated / augnet"]
    row = next(row for row in rows(events) if (row.problem, row.method) == ("digits-rotated", "augnet"))
    assert row.test is not None
    assert metrics["result/test_score"] == row.test.mean
    assert metrics["result/total_plain_trainings"] == pytest.approx(row.multiples(row.total.flops))
    assert metrics["result/invariance/rotation/agreement"] == 0.9
    assert (params["problem"], params["method"]) == ("digits-rotated", "augnet")
    assert "chosen.learning_rate" in params
    assert parents(store)["digits-rotated / augnet"].info.status == "FINISHED"


def test_every_parent_names_its_data_set_and_its_digest_is_that_of_its_description(store: Store) -> None:  # noqa: F811
    events = journal()
    told(store, events)
    inputs = {name: run.inputs.dataset_inputs for name, run in parents(store).items()}
    assert all(len(found) == 1 for found in inputs.values())
    named = {name: found[0].dataset for name, found in inputs.items()}
    assert named["digits-rotated / plain"].name == "digits-rotated"
    assert named["digits-rotated / plain"].digest == named["digits-rotated / augnet"].digest
    assert named["digits-rotated / plain"].digest != named["which-rotation / plain"].digest
    assert '"rotation": 60.0' in named["digits-rotated / plain"].profile


def test_other_images_are_another_data_set() -> None:
    began = journal()[0]

    def digest(event: Event) -> str:
        (label, (spec, facts)), *_ = problems_of(event).items()
        return str(dataset_input(label, spec, facts).dataset.digest)

    label = next(iter(problems_of(began)))
    digests = [digest(began | {"data": {label: files}}) for files in ("", "1" * 64, "2" * 64)]
    assert digests[0] == digest(began) and len(set(digests)) == 3


def test_what_a_sweep_went_on_with_is_a_tag(store: Store) -> None:  # noqa: F811
    """A run's params stay what they were first; each driver knows only the journal."""
    def resumed(seq: int, **fields: Any) -> Event:
        return {"schema": 1, "seq": seq, "time_ms": 10_000_000 + seq, "kind": "resumed", "provenance": {}, **fields}

    def tags() -> dict[str, str]:
        client = connect(store)
        experiment = client.get_experiment_by_name(store.experiment)
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id], "tags.role = 'sweep'")
        return dict(run.data.tags)

    events = journal()[:-1]
    told(store, events)
    assert not {"overrides", "other_data"} & tags().keys()
    events.append(resumed(len(events), overrides={"limits.trials": 4, "hang_seconds": 9}))
    told(store, events)
    events.append(resumed(len(events), overrides={"limits": {}}, other_data=["the data of `p`: others"]))
    told(store, events)
    assert tags()["overrides"] == "limits.trials=4 hang_seconds=9 limits={}"
    assert "the data of `p`" in tags()["other_data"]


def test_trials_have_a_seed_and_a_stage_to_search_by(store: Store) -> None:  # noqa: F811
    told(store, journal())
    client = connect(store)
    experiment = client.get_experiment_by_name(store.experiment)
    assert experiment is not None
    query = "tags.problem = 'digits-rotated' and tags.method = 'plain' and tags.stage = 'rerun' and tags.seed = '7'"
    assert [run.data.tags["uid"] for run in client.search_runs([experiment.experiment_id], query)] == [
        "digits-rotated/plain/rerun-1"
    ]


def two_networks(exports: Path) -> dict[str, bytes]:
    """A linear network in the exports of each of two methods."""
    made = {}
    for method in ("plain", "augnet"):
        torch.manual_seed(len(made))
        network = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
        made[method] = program(network, SHAPE)
        (exports / "p" / method).mkdir(parents=True)
        (exports / "p" / method / "model.pt2").write_bytes(made[method])
    return made


def compared(plain: float = 0.7) -> list[Event]:
    """`plain` is better on the test split, `augnet` on the select split, a third on both and leaves no network.

    Args:
        plain: its score on the select split.
    """
    writer = Writer("s")
    writer.begin(["p"], ["plain", "augnet", "other"], 1, {})
    for method, select, test in (("plain", plain, 0.99), ("augnet", 0.8, 0.5), ("other", 0.9, 0.9)):
        writer.trial("p", method, Stage.RERUN, 1, 10, score=select, extra={"test/score": test})
    writer.emit("sweep_done")
    return writer.events


def test_the_best_by_the_select_split_is_registered_with_a_signature_and_predicts(
    store: Store, tmp_path: Path  # noqa: F811
) -> None:
    made = two_networks(tmp_path / "exports")
    best = list(best_networks(compared(), Place.of(tmp_path / "exports")))
    assert [(one["problem"], one["method"], one["select_score"]) for one in best] == [("p", "augnet", 0.8)]
    assert told(store, compared(), best).errors == []
    told(store, compared(), best)  # again: still one version
    (version,) = connect(store).search_model_versions("name = 'invsearch.p.best'")
    assert version.tags["method"] == "augnet"
    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(version.source)
    assert [spec.shape for spec in loaded.metadata.signature.inputs] == [(-1, *SHAPE)]
    assert [spec.shape for spec in loaded.metadata.signature.outputs] == [(-1, 3)]
    x = np.random.default_rng(0).random((5, *SHAPE), dtype=np.float32)
    expected = torch.export.load(io.BytesIO(made["augnet"])).module()(torch.from_numpy(x)).detach()
    assert np.allclose(loaded.predict(x), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(("truth", "best"), [({"invariant": {"rotation": 60.0}}, "augnet"), (None, "plain")])
@pytest.mark.parametrize("named", [True, False], ids=["journal of today", "journal of before"])
def test_who_was_told_the_answer_is_nobodys_best(truth: Any, best: str, named: bool, tmp_path: Path) -> None:
    """The row `plain` is an oracle: of a planted problem a bound, of any other a row like all (as `fit` has them)."""
    two_networks(tmp_path)
    events = compared(plain=0.85)
    events[0] = {**events[0], "truths": {"p": truth}, **({"bounds": ["plain"]} if named else {})}
    methods = [{"name": "oracle", "label": "plain"}, {"name": "augnet"}, {"name": "other"}]
    events[0]["comparison"] = {**events[0]["comparison"], "methods": methods}
    assert [one["method"] for one in best_networks(events, Place.of(tmp_path))] == [best]


def test_a_network_that_is_none_is_told_and_loses_nothing(store: Store) -> None:  # noqa: F811
    bad = [{"problem": "p", "method": "plain", "select_score": 0.5, "program": b"nonsense"}]
    log = told(store, compared(), bad)
    assert any("could not be registered" in error for error in log.errors)
    assert "p / plain" in parents(store)


def test_no_network_is_no_best(tmp_path: Path) -> None:
    assert list(best_networks(compared(), Place.of(tmp_path))) == []


def test_the_documented_queries_find_what_they_say(store: Store) -> None:  # noqa: F811
    """The block of docs/report.md, as it stands there."""
    writer = Writer()
    writer.events = journal()[:-1]
    uid = writer.trial("digits-rotated", "plain", Stage.TUNE, 9, 10, status=Status.FAILED, reason="out of memory")
    writer.emit("sweep_done")
    told(store, writer.events)
    text = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text()
    block = text.partition("```python\n")[2].partition("```")[0]
    assert "sqlite:///sweeps/mlflow.db" in block
    found: dict[str, Any] = {}
    exec(block.replace("sqlite:///sweeps/mlflow.db", store.uri), found)
    assert list(found["studies"]["tags.mlflow.runName"]) == [
        "which-rotation / plain", "which-rotation / augnet", "digits-rotated / augnet",
    ], "above .9, the cheapest first"
    assert list(found["confirmed"]["tags.uid"]) == [f"digits-rotated/augnet/rerun-{seed}" for seed in (3, 2, 1)]
    assert list(found["failed"]["tags.uid"]) == [uid]
    assert set(found["on_digits"]["tags.problem"]) == {"digits-rotated"}

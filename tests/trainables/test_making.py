"""The making of an artefact: what it reports and keeps, that it resumes exactly, and what a maker may not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.artefacts import making, spec
from tests.support.trials import assignment, finish, logical
from tracking.cost import Phase
from tracking.errors import StorageError
from tracking.record import Cause, NotFiniteError, ReservedMetricError, Status
from tracking.storage import Place
from trainables import making as makings
from trainables import plugins
from trainables.artefact_store import ArtefactError, ArtefactStore
from trainables.assignment import Assignment, Making, Report, read_job
from trainables.harness import Harness, MisplacedCostError
from trainables.making import PROGRESS, SLICES, MakerHarness, made
from trainables.method import Slice, State
from trainables.modules.generators.spatial import WarpNetwork
from trainables.trial import Trial

UPDATES = 12  # of the toy maker; one per report


def stored(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(Place.of(tmp_path / "artefacts"))


def bits(state: State) -> dict[str, Any]:
    return {name: value.numpy().tobytes() if torch.is_tensor(value) else value for name, value in state.items()}


def test_it_reports_progress_and_no_score_and_its_last_word_is_what_was_kept(tmp_path: Path) -> None:
    reports = finish(MakerHarness(making(tmp_path)))
    assert [report.index for report in reports] == list(range(UPDATES))
    assert [report.status for report in reports] == [Status.RUNNING] * (UPDATES - 1) + [Status.COMPLETE]
    shares = [report.metrics[PROGRESS] for report in reports]
    assert shares == pytest.approx([(k + 1) / UPDATES for k in range(UPDATES)])
    assert all(report.score is None and "pretrain/loss" in report.metrics for report in reports)
    manifest = stored(tmp_path).manifest(spec().key())
    assert [report.artefact is None for report in reports] == [True] * (UPDATES - 1) + [False]
    assert reports[-1].artefact == {
        "key": spec().key(), "sha256": manifest.sha256, "size": manifest.size, "ledger": manifest.ledger,
    }
    assert reports[-1].ledger == manifest.ledger


def test_everything_is_charged_to_pre_training(tmp_path: Path) -> None:
    harness = MakerHarness(making(tmp_path))
    last = finish(harness)[-1]
    cost = harness.meter.ledger().phases[Phase.PRETRAIN]
    assert (cost.examples, cost.unlabelled_reads, cost.label_reads) == (UPDATES * 8, UPDATES * 8, 0)
    assert last.flops == cost.flops > 0 and cost.wall_seconds > 0
    assert last.metrics["cost/pretrain/flops"] == last.metrics["cost/flops"] == cost.flops
    assert last.metrics["evaluation/flops"] == 0
    assert stored(tmp_path).load(spec().key()).ledger.phases[Phase.PRETRAIN] == cost


@pytest.mark.parametrize(("sure", "said"), [(True, "has collapsed to the identity"), (False, "has learned nothing")])
def test_a_generator_not_to_be_used_is_told_before_anything_is_trained_with_it(
    tmp_path: Path, sure: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is sure that nothing was moved draws nothing else; one that knows nothing draws anything."""
    if sure:
        forward = WarpNetwork.forward
        still = torch.zeros(73).index_fill(0, torch.tensor([36]), 1e6)
        monkeypatch.setattr(WarpNetwork, "forward", lambda network, x: forward(network, x) + still)
    settings = {"horizon": 2, "learning_rate": 1e-9}
    described = making(tmp_path, spec(maker="spatial_generator", settings=settings))
    reports = finish(MakerHarness(described))
    assert all(report.note is None for report in reports[:-1])
    assert f"the generator {said}" in str(reports[-1].note)


def test_a_long_making_reports_so_often_and_no_oftener(tmp_path: Path) -> None:
    reports = finish(MakerHarness(making(tmp_path, spec(settings={"horizon": 101}))))
    assert len(reports) == -(-101 // -(-101 // SLICES)) <= SLICES
    assert reports[-1].metrics[PROGRESS] == 1.0


def test_a_resumed_making_makes_the_same_bit_for_bit(tmp_path: Path) -> None:
    """After each slice: a new harness on the same folder."""
    straight = [logical(report) for report in finish(MakerHarness(making(tmp_path / "whole")))]
    whole = stored(tmp_path / "whole").load(spec().key())
    for k in range(1, UPDATES):
        described = making(tmp_path / str(k))
        first = MakerHarness(described)
        for _ in range(k):
            first.advance()
        first.save()
        again = MakerHarness(described.model_copy(update={"known": k}))
        assert [logical(report) for report in finish(again)] == straight[k:]
        found = stored(tmp_path / str(k)).load(spec().key())
        assert bits(found.state) == bits(whole.state)
        assert stored(tmp_path / str(k)).manifest(spec().key()).sha256 == straight[-1]["artefact"]["sha256"]


def test_the_comparison_above_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed, and a maker that forgets its place in the data on loading, make something else."""
    finish(MakerHarness(making(tmp_path / "whole")))
    whole = bits(stored(tmp_path / "whole").load(spec().key()).state)
    other = spec(seed=1)
    finish(MakerHarness(making(tmp_path / "other", other)))
    assert bits(stored(tmp_path / "other").load(other.key()).state) != whole
    first = MakerHarness(making(tmp_path / "cut"))
    first.advance()
    first.save()
    load = type(first.maker).load_state_dict
    forgetful = lambda self, state: load(self, state | {"order": self.state_dict()["order"]})  # noqa: E731
    monkeypatch.setattr(type(first.maker), "load_state_dict", forgetful)
    finish(MakerHarness(making(tmp_path / "cut", known=1)))
    assert bits(stored(tmp_path / "cut").load(spec().key()).state) != whole


def test_the_last_report_is_said_again_where_nobody_heard_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = MakerHarness(making(tmp_path))
    reports = finish(harness)
    harness.save()
    again = MakerHarness(making(tmp_path, known=UPDATES - 1))
    monkeypatch.setattr(again.maker, "step", lambda: pytest.fail("the slice was made again"))
    assert again.advance() == reports[-1]


def test_a_good_artefact_of_another_sweep_is_kept_and_told(tmp_path: Path) -> None:
    """Two sweeps made it at once: the second one's word is what the store holds, ledger included."""
    first = finish(MakerHarness(making(tmp_path)))[-1]
    second = finish(MakerHarness(making(tmp_path, place=str(tmp_path / "elsewhere"))))[-1]
    assert second.artefact == first.artefact
    assert second.ledger != first.ledger, "its own work is told beside it"


def replaced(harness: MakerHarness, monkeypatch: pytest.MonkeyPatch, name: str, body: Any) -> None:
    monkeypatch.setattr(type(harness.maker), name, body)


@pytest.mark.parametrize(
    ("piece", "error", "words"),
    [
        (Slice({"cost/flops": 0.0}, Phase.PRETRAIN, False, False), ReservedMetricError, "cost/flops"),
        (Slice({"artefact/progress": 1.0}, Phase.PRETRAIN, False, False), ReservedMetricError, "artefact/"),
        (Slice({"loss": float("nan")}, Phase.PRETRAIN, False, False), NotFiniteError, "loss"),
        (Slice({}, Phase.TRAIN, False, False), MisplacedCostError, "pretrain"),
        (Slice({}, Phase.PRETRAIN, False, True), MisplacedCostError, "no FLOPs"),
    ],
)
def test_what_a_maker_may_not_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: Slice, error: type[Exception], words: str
) -> None:
    harness = MakerHarness(making(tmp_path))
    replaced(harness, monkeypatch, "step", lambda self: piece)
    with pytest.raises(error, match=words):
        harness.advance()
    assert stored(tmp_path).place.names() == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: float) -> None:
    harness = MakerHarness(making(tmp_path))
    result = {"weights": [torch.ones(2), {"deep": torch.tensor([1.0, number])}]}
    replaced(harness, monkeypatch, "result", lambda self: result)
    with pytest.raises(NotFiniteError, match=r"result\.weights\[1\]\.deep"):
        finish(harness)
    assert stored(tmp_path).place.names() == []


def test_a_store_that_is_away_for_a_moment_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, times = ArtefactStore.write, list[int]()

    def away(self: ArtefactStore, *given: Any) -> Any:
        times.append(1)
        if len(times) < 4:
            raise StorageError("the storage must stay usable", "planted")
        return write(self, *given)

    monkeypatch.setattr(ArtefactStore, "write", away)
    monkeypatch.setattr(makings, "FIRST_PAUSE_SECONDS", 0.001)
    finish(MakerHarness(making(tmp_path)))
    assert len(times) == 4
    stored(tmp_path).load(spec().key())
    monkeypatch.setattr(makings, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(ArtefactStore, "write", lambda self, *given: (_ for _ in ()).throw(StorageError("r", "down")))
    with pytest.raises(StorageError, match="down"):
        finish(MakerHarness(making(tmp_path / "again")))


# On a worker


def config(job: Assignment | Making) -> dict[str, Any]:
    return {"uid": job.uid, "known": job.known, "hang_seconds": 60.0, "assignment": job.model_dump_json()}


def run(trial: Trial) -> list[Report]:
    reports = [Report.model_validate_json(trial.step()["report"])]
    while reports[-1].status is Status.RUNNING:
        reports.append(Report.model_validate_json(trial.step()["report"]))
    return reports


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_worker_makes_first_and_uses_then(tmp_path: Path) -> None:
    """By JSON alone, on one reused worker; a worker that finds nothing in the store fails with the reason."""
    plugin = [plugins.PluginFile.of(Path(__file__).parents[1] / "support" / "toy_maker.py").model_dump(mode="json")]
    plugins.load([plugins.PluginFile.model_validate(plugin[0])])
    user = assignment(tmp_path, "needs_toy", artefacts={"bias": spec().key()}, store=str(tmp_path / "artefacts"))
    trial = Trial(config(user))
    (failed,) = run(trial)
    assert (failed.status, failed.cause) == (Status.FAILED, Cause.RAISED)
    assert failed.reason is not None and failed.reason.startswith("ArtefactError: an artefact must be complete")
    trial.reset_config(config(making(tmp_path)))
    assert run(trial)[-1].artefact is not None
    trial.reset_config(config(user))
    reports = run(trial)
    assert reports[-1].status is Status.COMPLETE and reports[-1].score is not None
    assert reports[-1].metrics["cost/unlabelled_reads"] == 0, "a trial does not carry what it uses"
    broken = making(tmp_path, spec(settings={"explode_at": 5}))
    trial.reset_config(config(broken))
    last = run(trial)[-1]
    assert (last.status, last.index, last.cause) == (Status.FAILED, 5, Cause.RAISED)
    assert "planted in the maker" in (last.reason or "") and last.flops > 0


def test_the_two_kinds_of_jobs_survive_json(tmp_path: Path) -> None:
    for job in (making(tmp_path), assignment(tmp_path)):
        assert read_job(job.model_dump_json()) == job


def test_a_method_gets_what_it_asked_for(tmp_path: Path) -> None:
    finish(MakerHarness(making(tmp_path)))
    key, store = spec().key(), str(tmp_path / "artefacts")
    user = Harness(assignment(tmp_path, "needs_toy", artefacts={"bias": key}, store=store))
    found = user._context().artefacts["bias"]
    assert (found.key, found.spec) == (key, spec())
    with pytest.raises(ArtefactError):
        Harness(assignment(tmp_path, "needs_toy", artefacts={"bias": "0" * 32}, store=store))


def test_a_short_one_in_this_process_has_the_form_of_a_whole_one(tmp_path: Path) -> None:
    finish(MakerHarness(making(tmp_path)))
    whole, short = stored(tmp_path).load(spec().key()), made(spec(), tmp_path / "cache", updates=2)
    assert {name: getattr(value, "shape", None) for name, value in short.state.items()} == {
        name: getattr(value, "shape", None) for name, value in whole.state.items()
    }
    assert short.state["updates"] == 2 and short.ledger.phases[Phase.PRETRAIN].examples == 16
    assert bits(made(spec(), tmp_path / "cache").state) == bits(whole.state)

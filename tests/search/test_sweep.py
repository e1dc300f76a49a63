"""Whole sweeps through real Ray, Optuna, ASHA, journal and MLflow, on a toy; stopped and killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from search import configuration, runner
from search.analysis import decision_table
from search.runner import ExitCode
from search.sweep import Sweep
from tracking.mlflow_log import MlflowLog, default_store
from tracking.read import connect, history, runs
from tracking.storage import Place

TOYS = Path(__file__).resolve().parent.parent / "support" / "toy_problems.py"
LAB = Path(__file__).resolve().parent.parent / "support" / "lab.py"
TOY: dict[str, Any] = {
    "problems": [{"label": "toy", "source": {"name": "toy_images"}}],
    "methods": [{"name": "plain"}, {"name": "augnet"}],
    "horizon": 24, "slices": 6, "budget": 4.0, "confirm_seeds": 2, "checkpoint_seconds": 0.05,
}
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def toy(**changes: Any) -> Any:
    data = TOY | changes
    return configuration.validate(data | {"plugins": configuration.plugin_files([TOYS, LAB])})


@pytest.fixture(scope="module")
def undisturbed(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    outcome = runner.compare(toy(), tmp_path_factory.mktemp("sweeps") / "whole")
    assert outcome.code is ExitCode.DONE
    return outcome.sweep


def test_the_stages_follow_each_other(undisturbed: Sweep) -> None:
    events = undisturbed.events()
    assert events[0]["kind"] == "sweep" and events[-1]["kind"] == "sweep_done"
    stages = {(e["method"], e["stage"]) for e in events if e["kind"] == "asked"}
    assert {("budget-unit", "unit"), ("plain", "probe"), ("plain", "tune"), ("plain", "rerun")} <= stages
    assert ("augnet", "replay") in stages
    assert all(e["status"] != "failed" for e in events if e["kind"] == "ended")
    confirmed = [e for e in events if e["kind"] == "ended" and "/rerun-" in e["uid"]]
    assert all({"test/score", "test/score_own_copies", "test/score_common_copies"} <= e["metrics"].keys()
               for e in confirmed)
    tuned = [e for e in events if e["kind"] == "ended" and "/tune-" in e["uid"]]
    assert not any(name.startswith("test/") for e in tuned for name in e["metrics"])
    assert not undisturbed.checkpoints.exists()


def test_the_first_confirmed_trial_of_a_row_leaves_its_files(undisturbed: Sweep) -> None:
    """Once per row: its network, and what it learned; `plain` has learned nothing else."""
    exports = undisturbed.exports / "toy"
    assert exports.names() == ["augnet", "plain"]
    assert (exports / "plain").names() == ["model.pt2"]
    assert {"ranges.json", "augmentation.pt", "curves.png", "model.pt2"} <= set((exports / "augnet").names())
    left = [note for e in undisturbed.events() if e["kind"] == "warning" for note in [e["text"]] if "export" in note]
    assert left == []


@pytest.mark.slow
def test_two_runs_give_the_same_table(undisturbed: Sweep, tmp_path: Path) -> None:
    again = runner.compare(toy(), tmp_path / "again").sweep
    assert decision_table(again.events()) == decision_table(undisturbed.events())
    other = runner.compare(toy(seed=1), tmp_path / "other").sweep  # the control: the comparison above can fail
    assert decision_table(other.events()) != decision_table(undisturbed.events())


def test_a_trial_that_raises_fails_alone(ray_session: None, tmp_path: Path) -> None:
    dying = {"name": "dies_once", "settings": {"marker": str(tmp_path / "died")}}
    methods = [{"name": "plain"}, {"name": "explodes"}, {"name": "not_a_number"}, dying]
    outcome = runner.compare(toy(methods=methods, budget=2.0, confirm_seeds=1), tmp_path / "broken")
    assert outcome.code is ExitCode.FAILED_TRIALS
    events = outcome.sweep.events()
    reasons = {e["uid"].split("/")[1]: e["reason"] for e in events if e["kind"] == "ended" and e["status"] == "failed"}
    assert "RuntimeError: planted" in reasons["explodes"]
    assert "finite" in reasons["not_a_number"]
    assert (tmp_path / "died").exists() and "dies_once" not in reasons  # a killed worker's trial is started again
    assert any(e["kind"] == "ended" and e["uid"] == "toy/plain/rerun-1" and e["status"] == "complete" for e in events)


def test_mlflow_has_one_run_per_trial(undisturbed: Sweep, tmp_path: Path) -> None:
    """Also when the whole journal is shown to it twice, as after a crash."""
    events = undisturbed.events()
    store = default_store(tmp_path, "toy")
    for _ in range(2):
        log = MlflowLog(store, undisturbed.name)
        for event in events:
            log.observe(event)
        assert log.close(60.0) == 0
    uids = sorted(run["tags"]["uid"] for run in runs(store, undisturbed.name))
    assert uids == sorted(e["uid"] for e in events if e["kind"] == "asked")


def test_an_existing_experiment_and_another_store_are_honoured(
    undisturbed: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'theirs.db'}")
    store = default_store(tmp_path / "ours", "team")
    assert store.uri.endswith("theirs.db")
    client = connect(store)
    experiment = client.create_experiment("team")
    before = client.create_run(experiment).info.run_id
    log = MlflowLog(store, undisturbed.name)
    for event in undisturbed.events():
        log.observe(event)
    assert log.close(60.0) == 0
    assert client.get_experiment_by_name("team").experiment_id == experiment
    assert client.get_run(before).info.status == "RUNNING"  # somebody else's, left alone
    parents = {run["tags"].get("mlflow.parentRunId") for run in runs(store, undisturbed.name)}
    assert len(runs(store, undisturbed.name)) > 10
    assert len(parents) == 3 and None not in parents  # budget unit, plain, augnet


@pytest.mark.slow
def test_an_error_in_mid_sweep_ends_it_in_order_and_resume_goes_on(undisturbed: Sweep, tmp_path: Path) -> None:
    seen = 0

    def stumble(event: dict[str, Any]) -> None:
        nonlocal seen
        seen += event["kind"] == "result"
        if seen == 10 and event["kind"] == "result":
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        runner.compare(toy(), tmp_path / "broken", (stumble,))
    broken = Sweep(Place.of(tmp_path / "broken"))
    last = broken.events()[-1]
    assert (last["kind"], last["by"], last["reason"]) == ("interrupted", "error", "planted")
    assert runner.resume(broken).code is ExitCode.DONE
    assert decision_table(broken.events()) == decision_table(undisturbed.events())


def test_an_impossible_resource_is_told_before_anything_starts(ray_session: None, tmp_path: Path) -> None:
    from tracking.errors import UserError

    with pytest.raises(UserError, match="64 CPU"):
        runner.compare(toy(resources={"cpus": 64}), tmp_path / "never")
    assert not (tmp_path / "never").exists()


class Driver:
    """`invsearch` in a process of its own."""

    def __init__(self, root: Path, *arguments: str) -> None:
        environment = os.environ | {"INVSEARCH_ROOT": str(root)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "search.cli", *arguments], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def interrupt_after(self, journal: Path, results: int, number: signal.Signals) -> int:
        """Send a signal once the journal holds so many results; the exit code."""
        deadline = time.monotonic() + 120
        while count(journal, "result") < results:
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        self.output = self.process.communicate(timeout=180)[0]
        return self.process.returncode


def count(journal: Path, kind: str) -> int:
    if not journal.exists():
        return 0
    return sum(f'"kind":"{kind}"' in line for line in journal.read_text().splitlines())


@pytest.fixture
def launch(tmp_path: Path) -> list[str]:
    """The undisturbed sweep's comparison, as a user would launch it."""
    described = tmp_path / "toy.yaml"
    described.write_text(yaml.safe_dump(TOY))
    return ["compare", str(described), "--name", "cut", "--module", str(TOYS), "--module", str(LAB), "--cpus", "2"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
@pytest.mark.slow
def test_stopped_in_order_and_resumed(
    undisturbed: Sweep, tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    seen = 0

    def interrupt(event: dict[str, Any]) -> None:
        nonlocal seen
        seen += event["kind"] == "result"
        if seen == 25 and event["kind"] == "result":
            os.kill(os.getpid(), number)

    stopped = runner.compare(toy(), tmp_path / "stopped", (interrupt,))
    assert stopped.code is code
    assert stopped.sweep.events()[-1]["kind"] == "interrupted"
    assert runner.resume(stopped.sweep).code is ExitCode.DONE
    events = stopped.sweep.events()
    assert decision_table(events) == decision_table(undisturbed.events())
    assert len(events) > seen
    assert runner.resume(stopped.sweep).code is ExitCode.DONE  # a finished sweep is left as it is
    assert stopped.sweep.events() == events


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_table(
    undisturbed: Sweep, tmp_path: Path, launch: list[str]
) -> None:
    """kill -9 of the driver, then `resume`: the table of an undisturbed run in another process."""
    root, journal = tmp_path / "sweeps", tmp_path / "sweeps" / "cut" / "journal.jsonl"
    assert Driver(root, *launch).interrupt_after(journal, 25, signal.SIGKILL) == -signal.SIGKILL
    last = Driver(root, "resume", "cut", "--cpus", "2")
    assert last.wait() == ExitCode.DONE, last.output
    check_ended_well(root, undisturbed)


@pytest.mark.slow
def test_stopped_killed_and_resumed_many_times(undisturbed: Sweep, tmp_path: Path, launch: list[str]) -> None:
    """Ctrl-C, then SIGTERM, then kill -9 twice, each answered by `resume`: nothing lost, nothing doubled."""
    root, journal = tmp_path / "sweeps", tmp_path / "sweeps" / "cut" / "journal.jsonl"
    resume = ["resume", "cut", "--cpus", "2"]
    first = Driver(root, *launch)
    assert first.interrupt_after(journal, 12, signal.SIGINT) == ExitCode.INTERRUPTED, first.output
    assert "invsearch resume cut" in first.output
    second = Driver(root, *resume)
    assert second.interrupt_after(journal, 30, signal.SIGTERM) == ExitCode.TERMINATED, second.output
    for results in (50, 70):
        assert Driver(root, *resume).interrupt_after(journal, results, signal.SIGKILL) == -signal.SIGKILL
    last = Driver(root, *resume)
    assert last.wait() == ExitCode.DONE, last.output
    check_ended_well(root, undisturbed)
    again = Driver(root, *resume)  # a finished sweep is left as it is
    assert again.wait() == ExitCode.DONE, again.output
    check_ended_well(root, undisturbed)


def check_ended_well(root: Path, undisturbed: Sweep) -> None:
    """Same table, no result twice, one MLflow run per trial with one unbroken curve, a report."""
    sweep = Sweep(Place.of(root / "cut"))
    events = sweep.events()
    assert decision_table(events) == decision_table(undisturbed.events())
    seen = [(e["uid"], e["index"]) for e in events if e["kind"] == "result"]
    assert len(seen) == len(set(seen))
    store = default_store(root, "cut")
    stored = runs(store, "cut")
    assert sorted(run["tags"]["uid"] for run in stored) == sorted({e["uid"] for e in events if e["kind"] == "asked"})
    for run in stored:
        steps = [point[0] for point in history(store, run["run_id"], "val/score")]
        assert steps == [index for uid, index in seen if uid == run["tags"]["uid"]]
    assert sweep.report.exists("report.html")

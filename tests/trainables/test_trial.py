"""The class that Ray schedules, without Ray: nothing leaves it, and a used worker is as good as a new one."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.trials import PROTOCOL, assignment, logical
from tracking.record import Cause, Stage, Status
from trainables.assignment import Assignment, Report
from trainables.harness import Harness
from trainables.trial import Trial

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
READ_BY_THE_SCHEDULER = {"report", "val/score", "cost/flops", "done"}


@pytest.fixture(autouse=True, scope="module")
def process_as_before() -> Iterator[None]:
    """`setup` is for a worker's whole life: one torch thread, imports out of the collector's sight."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    gc.unfreeze()


def config(described: Assignment) -> dict[str, Any]:
    """What the searcher sends."""
    return {
        "uid": described.uid, "known": described.known, "hang_seconds": described.protocol.hang_seconds,
        "assignment": described.model_dump_json(),
    }


def run(trial: Trial) -> list[Report]:
    """Steps until one says `done`."""
    reports = []
    while True:
        result = trial.step()
        assert set(result) == READ_BY_THE_SCHEDULER
        report = Report.model_validate_json(result["report"])
        assert result["cost/flops"] == report.flops
        assert result["val/score"] == (0.0 if report.score is None else report.score)
        assert result["done"] == (report.status is not Status.RUNNING)
        reports.append(report)
        if result["done"]:
            return reports


def test_a_reused_worker_does_what_a_fresh_one_does(tmp_path: Path) -> None:
    """After another method on another stage, left in the middle."""
    second = config(assignment(tmp_path, "honest", Stage.RERUN))
    fresh = [logical(report) for report in run(Trial(second))]
    used = Trial(config(assignment(tmp_path, "augnet", seed=5)))
    used.step()
    assert used.reset_config(second) is True
    assert [logical(report) for report in run(used)] == fresh
    assert used.config == second


def test_the_former_harness_is_gone_before_the_next_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(config(assignment(tmp_path)))
    trial.step()
    former = weakref.ref(trial._harness)
    weights = weakref.ref(next(trial._harness.method.trunk.network.parameters()))
    build, alive = Harness.__init__, []

    def noting(self: Harness, described: Assignment) -> None:
        alive.append(former() is not None or weights() is not None)
        build(self, described)

    monkeypatch.setattr(Harness, "__init__", noting)
    assert former() is not None and weights() is not None
    trial.reset_config(config(assignment(tmp_path, seed=2)))
    assert alive == [False]


def test_cleanup_frees_too(tmp_path: Path) -> None:
    trial = Trial(config(assignment(tmp_path)))
    former = weakref.ref(trial._harness)
    trial.cleanup()
    gc.collect()
    assert former() is None


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("draws_select", "ForbiddenSplitError: a method may read `train` and `outer` only, but got select"),
        ("draws_test", "ForbiddenSplitError: a method may read `train` and `outer` only, but got test"),
        ("asks_truth", "AttributeError: "),
        ("writes_score", "ReservedMetricError: metrics may not start with cost/, waste/, val/"),
        ("writes_nan", "NotFiniteError: metrics must be finite, but got loss = nan"),
        ("predicts_nan", "NotFiniteError: "),
        ("hides_work", "MisplacedCostError: "),
    ],
)
def test_a_cheat_fails_its_trial_with_the_reason(tmp_path: Path, method: str, reason: str) -> None:
    """An ordinary last report; the first line is for tables, the traceback below it for the log."""
    (report,) = run(Trial(config(assignment(tmp_path, method))))
    assert (report.status, report.index, report.ready, report.score) == (Status.FAILED, 0, False, None)
    assert report.cause is (Cause.NOT_FINITE if "nan" in method else Cause.RAISED)
    assert report.reason is not None
    first, *trace = report.reason.splitlines()
    assert first.startswith(reason)
    assert trace[0].startswith("Traceback") or len(report.reason) > 4000


def test_a_method_that_exits_fails_and_its_worker_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(config(assignment(tmp_path)))
    with monkeypatch.context() as patch:
        patch.setattr(Harness, "advance", lambda self: sys.exit("enough"))
        (report,) = run(trial)
    assert report.cause is Cause.RAISED and report.reason is not None and report.reason.startswith("SystemExit: enough")
    trial.reset_config(config(assignment(tmp_path)))
    assert run(trial)[-1].status is Status.COMPLETE


def test_a_worker_that_is_stopped_in_order_keeps_what_it_did(tmp_path: Path) -> None:
    """As at a first Ctrl-C: the next one goes on without doing a slice again."""
    straight = [logical(report) for report in run(Trial(config(assignment(tmp_path))))]
    trial = Trial(config(assignment(tmp_path)))
    trial.step()
    trial.cleanup()
    again = assignment(tmp_path).model_copy(update={"known": 1})
    assert [logical(report) for report in run(Trial(config(again)))] == straight[1:]


def test_a_slice_that_hangs_ends_its_process(tmp_path: Path) -> None:
    """With the stack where it hung; even where the interpreter's lock is held for ever."""
    body = (
        "import ctypes, time\nfrom trainables.time_limit import time_limit\n"
        "with time_limit(0.3):\n    pass\n"
        "time.sleep(0.5)\nprint('in time', flush=True)\n"  # the control: a slice that ends is left alone
        "with time_limit(0.3):\n    ctypes.PyDLL(None).sleep(60)\n"  # PyDLL keeps the lock
    )
    hung = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=50, check=False)
    assert hung.stdout == "in time\n"
    assert hung.returncode == 1 and "Timeout" in hung.stderr and "line 8" in hung.stderr


def test_a_failure_after_a_restart_counts_on_from_what_is_known(tmp_path: Path) -> None:
    broken = json.loads(assignment(tmp_path).model_dump_json()) | {"method": "plian", "known": 2}
    (report,) = run(Trial({"uid": "toy/x", "known": 2, "hang_seconds": 60.0, "assignment": json.dumps(broken)}))
    assert (report.status, report.index) == (Status.FAILED, 2)


def test_an_honest_method_does_not_fail(tmp_path: Path) -> None:
    """The control of the cheats: the same base class, the same run."""
    reports = run(Trial(config(assignment(tmp_path))))
    assert [report.status for report in reports] == ["running", "running", "complete"]
    assert all(report.reason is None for report in reports)


def test_a_failure_counts_on_from_the_reports_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(config(assignment(tmp_path)))
    trial.step()
    monkeypatch.setattr(Harness, "advance", lambda self: 1 / 0)
    (report,) = run(trial)
    assert report.index == 1
    assert report.reason is not None and report.reason.startswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "plian"}, "did you mean `plain`"),
        ({"settings": {"learning_rat": 0.1}}, "learning_rat"),
        ({"protocol": PROTOCOL | {"network": "mpl"}}, "did you mean `mlp`"),
    ],
)
def test_what_cannot_be_built_fails_with_the_reason(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """Also a worker that was used before, and it is as good as new afterwards."""
    good = config(assignment(tmp_path))
    fresh = [logical(report) for report in run(Trial(good))]
    trial = Trial(good)
    broken = json.loads(assignment(tmp_path).model_dump_json()) | changes
    assert trial.reset_config(good | {"assignment": json.dumps(broken)})
    (report,) = run(trial)
    assert report.status is Status.FAILED
    assert report.reason is not None and words in report.reason
    trial.reset_config(good)
    assert [logical(report) for report in run(trial)] == fresh


def test_a_damaged_assignment_fails_with_the_reason(tmp_path: Path) -> None:
    broken = json.loads(assignment(tmp_path).model_dump_json()) | {"stage": "holiday"}
    (report,) = run(Trial({"uid": "toy/x", "known": 0, "hang_seconds": 60.0, "assignment": json.dumps(broken)}))
    assert report.uid == "toy/x"
    assert report.reason is not None and "holiday" in report.reason

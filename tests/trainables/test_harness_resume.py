"""A trial that goes on from its checkpoints reports what an undisturbed one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.trials import ROTATED, assignment, finish, logical
from tracking.checkpoints import Checkpoints
from tracking.record import Stage, Status
from trainables import methods
from trainables.assignment import Assignment
from trainables.harness import Harness
from trainables.modules.supervised import Supervised
from trainables.problems.spec import ProblemSpec


def after(described: Assignment, reports: int) -> Assignment:
    """The same trial, started again when the journal holds so many of its reports."""
    return described.model_copy(update={"known": reports})


def kept(tmp_path: Path) -> list[str]:
    """The checkpoints' files."""
    return sorted(path.name for path in (tmp_path / "checkpoints").glob("*"))


# Those that stand on an artefact have tests of their own (methods/test_amortised.py).
TOY = ProblemSpec.model_validate(ROTATED)
TASKS = {"label": "layers", "source": {"name": "layers", "layer": "cyclic16", "tasks": 60, "queries": 3}}
ADAPTING = [name for name in methods.names() if methods.config_class(name).adapts]
ALONE = [name for name in methods.names() if not methods.config_class(name)().needs(TOY, 0)]


@pytest.mark.parametrize("method", ["honest", *ALONE])
def test_a_resumed_trial_reports_what_a_straight_one_does(tmp_path: Path, method: str) -> None:
    """After each slice: a new harness on the same folder, bit for bit, final measurements and ledger included."""
    fitting = {"problem": TASKS, "settings": {}} if method in ADAPTING else {}
    straight = [logical(report) for report in finish(Harness(assignment(tmp_path, method, Stage.RERUN, **fitting)))]
    assert len(straight) >= 3
    for k in range(1, len(straight)):
        described = assignment(tmp_path, method, Stage.RERUN, place=str(tmp_path / f"after-{k}"), **fitting)
        first = Harness(described)
        for _ in range(k):
            first.advance()
        first.save()
        assert [logical(report) for report in finish(Harness(after(described, k)))] == straight[k:]


def test_the_comparison_above_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that forgets its state on loading, and another seed, are both noticed."""
    straight = [logical(report) for report in finish(Harness(assignment(tmp_path)))]
    other = [logical(report) for report in finish(Harness(assignment(tmp_path, seed=2)))]
    assert other != straight
    first = Harness(assignment(tmp_path))
    first.advance()
    first.save()
    monkeypatch.setattr(Supervised, "load_state_dict", lambda self, state: None)
    assert [logical(report) for report in finish(Harness(after(assignment(tmp_path), 1)))] != straight[1:]


def test_a_report_that_the_journal_never_got_is_said_again_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker kept its state on the way out, with a report that the driver did not hear."""
    straight = finish(Harness(assignment(tmp_path)))
    first = Harness(assignment(tmp_path))
    reports = [first.advance(), first.advance()]
    first.save()
    again = Harness(after(assignment(tmp_path), 1))
    with monkeypatch.context() as patch:
        patch.setattr(again.method, "step", lambda: pytest.fail("the slice was made again"))
        assert again.advance() == reports[1]
    assert [logical(report) for report in finish(again)] == [logical(report) for report in straight[2:]]


def test_a_state_further_ahead_of_the_journal_is_not_used(tmp_path: Path) -> None:
    """A worker that was cut off may have gone on alone: what it reported is lost, so an earlier state is used."""
    straight = [logical(report) for report in finish(Harness(assignment(tmp_path)))]
    trial = Harness(assignment(tmp_path, checkpoint_seconds=1e-9))
    trial.advance()
    trial.advance()  # keeps the state after the first report
    trial.save()
    assert kept(tmp_path) == ["000001.pt", "000002.pt"]
    assert [logical(r) for r in finish(Harness(after(assignment(tmp_path), 0)))] == straight  # says the first again
    assert [logical(r) for r in finish(Harness(after(assignment(tmp_path), 1)))] == straight[1:]
    (tmp_path / "checkpoints" / "000001.pt").unlink()
    assert [logical(r) for r in finish(Harness(after(assignment(tmp_path), 0)))] == straight  # from scratch


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_of_damaged_checkpoints_the_last_good_one_is_used_and_said(tmp_path: Path, size: int) -> None:
    straight = [logical(report) for report in finish(Harness(assignment(tmp_path)))]
    trial = Harness(assignment(tmp_path, checkpoint_seconds=1e-9))
    trial.advance()
    trial.advance()
    trial.save()
    for name, first, told in [("000002.pt", 1, "went on from the one after report 1"),
                              ("000001.pt", 0, "started from scratch")]:
        path = tmp_path / "checkpoints" / name
        path.write_bytes(path.read_bytes()[:size])
        reports = finish(Harness(after(assignment(tmp_path, checkpoint_seconds=1e9), 2)))
        assert [logical(report) | {"note": None} for report in reports] == straight[first:]
        assert told in (reports[0].note or "")
        assert all(report.note is None for report in reports[1:])


def test_a_full_disk_costs_a_checkpoint_and_not_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Harness(assignment(tmp_path, checkpoint_seconds=1e-9))
    trial.advance()

    def full(self: Checkpoints, index: int, data: bytes) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Checkpoints, "write", full)
    report = trial.advance()
    assert report.status is Status.RUNNING and "no space left" in (report.note or "")
    monkeypatch.undo()
    assert trial.advance().note is None
    assert kept(tmp_path) == ["000002.pt"]


def test_a_checkpoint_waits_for_its_time(tmp_path: Path) -> None:
    finish(Harness(assignment(tmp_path, checkpoint_seconds=1000.0)))
    assert kept(tmp_path) == []


def test_what_is_kept_already_is_not_written(tmp_path: Path) -> None:
    trial = Harness(assignment(tmp_path))
    trial.save()  # nothing was done
    assert kept(tmp_path) == []
    trial.advance()
    trial.save()
    (tmp_path / "checkpoints" / "000001.pt").unlink()
    trial.save()
    assert kept(tmp_path) == []


def test_the_last_report_of_all_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that stops while it is on its way does not make the last slice again, test split and all."""
    trial = Harness(assignment(tmp_path, stage=Stage.RERUN))
    reports = finish(trial)
    trial.save()
    again = Harness(assignment(tmp_path, stage=Stage.RERUN).model_copy(update={"known": len(reports) - 1}))
    monkeypatch.setattr(again.method, "step", lambda: pytest.fail("the slice was made again"))
    assert again.advance() == reports[-1]

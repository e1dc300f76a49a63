"""Faults inside of a sweep and around it, through real Ray and the real trainable."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from search import flights, looking, runner
from search.analysis import decision_table
from search.runner import ExitCode
from tests.chaos import laws
from tests.support.drivers import command, failures, launch, sweep, toy, wait_for, wait_until, words
from tests.support.ports import free_port
from tracking.journal import Event, of_kind
from tracking.read import default_store, runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]


def test_every_fault_is_recorded_with_its_cause_and_costs_only_its_own_method(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "GRACE_SECONDS", 5.0)
    marked = {name: {"marker": str(tmp_path / name)} for name in ("dies_once", "hangs_once", "deaf")}
    methods = [
        {"name": "plain"}, {"name": "explodes"}, {"name": "not_a_number"}, {"name": "exits"},
        {"name": "dies_once", "settings": marked["dies_once"]},
        {"name": "hangs_once", "settings": marked["hangs_once"]},
        {"name": "hangs_once", "label": "deaf", "settings": marked["deaf"] | {"deaf": True}},
    ]
    described = toy(methods=methods, budget=2.0, confirm_seeds=1, hang_seconds=20.0, retries={"raised": 1})
    outcome = runner.compare(described, tmp_path / "broken")
    events = outcome.sweep.events()
    assert outcome.code is ExitCode.FAILED_TRIALS
    assert failures(events) == {
        "explodes": {"raised"}, "not_a_number": {"not_finite"}, "exits": {"raised"},
        "dies_once": {"died"}, "hangs_once": {"hung"}, "deaf": {"hung"},
    }
    attempts = [e["attempt"] for e in of_kind(events, "retry") if "/explodes/" in e["uid"]]
    assert attempts == [1]  # the probe, once more; then the method is given up
    done = {e["method"]: e for e in of_kind(events, "stage_done") if e["stage"] in ("confirm", "failed")}
    assert {name for name, event in done.items() if event["stage"] == "confirm"} == {
        "plain", "dies_once", "hangs_once", "deaf"
    }
    assert "planted" in done["explodes"]["reason"] and "SystemExit: enough" in done["exits"]["reason"]
    laws.ended(events)


def test_two_sweeps_on_one_machine_and_one_store_do_not_disturb_each_other(
    alone: list[Event], tmp_path: Path
) -> None:
    root = tmp_path / "sweeps"
    drivers = {name: launch(root, name, "--experiment", "shared") for name in ("one", "two")}
    for driver in drivers.values():
        out, err = driver.communicate(timeout=280)
        assert driver.returncode == 0, out + err
    for name in drivers:
        events = sweep(root, name).events()
        assert decision_table(events) == decision_table(alone)
        stored = runs(default_store(root, "shared"), name)
        assert sorted(run["tags"]["uid"] for run in stored) == sorted(e["uid"] for e in of_kind(events, "asked"))


def test_a_second_driver_of_a_live_sweep_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "sweeps"
    first = launch(root, "mine")
    wait_for(root, "mine", 4, first)
    second = command(root, "resume", "mine", "--cpus", "2")
    err = second.communicate(timeout=120)[1]
    assert second.returncode == 2 and "one driver at a time" in err and f"process {first.pid}" in err, err
    first.send_signal(signal.SIGINT)
    out = first.communicate(timeout=120)[0]
    assert first.returncode == 130 and "invsearch resume mine" in out


def test_the_first_interrupt_keeps_what_was_done_and_the_second_ends_at_once(
    alone: list[Event], tmp_path: Path
) -> None:
    root = tmp_path / "sweeps"
    driver = launch(root, "mine", checkpoint_seconds=1000.0)  # only the orderly stop keeps state
    wait_for(root, "mine", 10, driver)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 130 and "invsearch resume mine" in out and "Traceback" not in err, err
    again = command(root, "resume", "mine", "--cpus", "2")
    wait_for(root, "mine", 20, again)
    assert not of_kind(sweep(root, "mine").loaded().events, "repeated")  # nothing was made again
    again.send_signal(signal.SIGINT)
    again.send_signal(signal.SIGINT)
    began = time.monotonic()
    err = again.communicate(timeout=120)[1]
    assert again.returncode == 130 and "Traceback" not in err, err
    assert time.monotonic() - began < 30.0
    last = command(root, "resume", "mine", "--cpus", "2")
    out, err = last.communicate(timeout=240)
    assert last.returncode == 0, out + err
    assert decision_table(sweep(root, "mine").events()) == decision_table(alone)


def test_a_store_that_is_down_costs_the_sweep_nothing_and_is_caught_up(alone: list[Event], tmp_path: Path) -> None:
    root, uri = tmp_path / "sweeps", f"http://127.0.0.1:{free_port()}"
    driver = command(root, "compare", *words(tmp_path, "mine"), "--cpus", "2", MLFLOW_TRACKING_URI=uri)
    wait_until(lambda: bool(looking.described(sweep(root, "mine"))["mlflow"]["behind"]), driver)
    err = driver.communicate(timeout=240)[1]
    assert driver.returncode == 0, err
    assert "has not taken" in err and "invsearch sync" in err
    assert decision_table(sweep(root, "mine").events()) == decision_table(alone)
    later = f"sqlite:///{tmp_path / 'later.db'}"
    caught_up = command(root, "sync", "mine", MLFLOW_TRACKING_URI=later)
    err = caught_up.communicate(timeout=120)[1]
    assert caught_up.returncode == 0, err
    assert looking.described(sweep(root, "mine"))["mlflow"]["behind"] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", later)
        stored = runs(default_store(root, "mine"), "mine")
    assert sorted(run["tags"]["uid"] for run in stored) == sorted(e["uid"] for e in of_kind(alone, "asked"))


def test_limits_stop_the_sweep_and_resume_raises_them(alone: list[Event], tmp_path: Path) -> None:
    root = tmp_path / "sweeps"
    first = launch(root, "mine", "--set", "limits.trials=4")
    out, err = first.communicate(timeout=240)
    assert first.returncode == 75 and "invsearch resume mine" in out, out + err
    events = sweep(root, "mine").events()
    assert len(of_kind(events, "asked")) == 4 and events[-1]["kind"] == "interrupted"
    assert "trials: 4 of 4" in events[-1]["reason"]
    refused = command(root, "resume", "mine", "--set", "budget=9")
    assert refused.communicate(timeout=60)[0] is not None and refused.returncode == 2
    last = command(root, "resume", "mine", "--cpus", "2", "--set", "limits.trials=1000")
    out, err = last.communicate(timeout=240)
    assert last.returncode == 0, out + err
    assert decision_table(sweep(root, "mine").events()) == decision_table(alone)

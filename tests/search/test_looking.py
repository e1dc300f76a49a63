"""Status, report and sync: for people and, with stable keys, for machines; from any process that sees the storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search import looking
from search.backlog import Backlog
from search.looking import described
from tests.support.journals import journal, stored
from tracking.errors import UserError
from tracking.journal import Event, Journal

Captured = pytest.CaptureFixture[str]
KEYS = {
    "name", "place", "state", "stopped_by", "driver", "slots", "dashboard", "share_done", "seconds_left", "studies",
    "artefacts", "spent", "limits", "waste", "retries", "warnings", "latest_warnings", "events", "last_event_ms", "log",
    "report", "mlflow",
}


def limited(events: list[Event]) -> list[Event]:
    """With a limit, and somewhere else's driver."""
    first = dict(events[0])
    first["comparison"] = first["comparison"] | {"limits": {"flops": 1e9}, "price_per_device_hour": 2.0}
    first |= {"slots": 4, "dashboard": "http://127.0.0.1:1", "driver": {"host": "h", "pid": 1}}
    return [first, *events[1:]]


def test_the_keys_are_those_of_the_documentation(tmp_path: Path) -> None:
    found = described(stored(tmp_path, limited(journal())))
    assert found.keys() == KEYS
    page = (Path(__file__).resolve().parents[2] / "docs" / "machines.md").read_text()
    assert all(f"`{key}`" in page for key in documented(found))


def documented(found: dict[str, Any]) -> set[str]:
    """All keys that machines may rely on."""
    return KEYS.union(found["studies"][0], found["spent"], found["mlflow"])


def test_a_finished_sweep(tmp_path: Path, capsys: Captured) -> None:
    stored(tmp_path, limited(journal()))
    looking.status("one", str(tmp_path), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["driver"], found["dashboard"], found["share_done"]) == ("done", None, None, 1.0)
    assert found["limits"]["flops"]["spent"] == found["spent"]["flops"] > 0
    assert found["spent"]["money"] == pytest.approx(found["spent"]["device_seconds"] / 3600 * 2.0)
    assert {(s["problem"], s["method"]) for s in found["studies"]} >= {("digits-rotated", "augnet")}
    assert all(s["open"] == 0 and s["stage"] == "done" for s in found["studies"])


def test_a_killed_driver_is_told_from_a_living_one(tmp_path: Path) -> None:
    made = stored(tmp_path, limited(journal())[:40])
    assert described(made)["state"] == "stopped without a word"
    with Journal(made.place):
        alive = described(made)
    assert alive["state"] == "running" and "process" in alive["driver"]
    assert (alive["slots"], alive["dashboard"]) == (4, "http://127.0.0.1:1")


def test_limits_that_were_raised_on_the_way_count(tmp_path: Path) -> None:
    events = limited(journal())[:40]
    again: dict[str, Any] = {"kind": "resumed", "overrides": {"limits.flops": 3e9, "limits.trials": 7}, "slots": 2}
    made = stored(tmp_path, [*events, {"schema": 1, "seq": 40, "time_ms": events[-1]["time_ms"] + 1, **again}])
    found = described(made)
    assert {name: use["limit"] for name, use in found["limits"].items()} == {"flops": 3e9, "trials": 7.0}


def test_one_damaged_sweep_hides_no_other(tmp_path: Path, capsys: Captured) -> None:
    stored(tmp_path, journal(), "good")
    stored(tmp_path, journal(), "bad")
    lines = (tmp_path / "bad" / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "bad" / "journal.jsonl").write_text("".join([*lines[:5], "{broken\n", *lines[6:]]))
    looking.status(None, str(tmp_path), as_json=True)
    found = json.loads(capsys.readouterr().out)["sweeps"]
    assert (found["good"]["state"], found["bad"]["state"]) == ("done", "damaged")
    looking.status(None, str(tmp_path))
    assert "bad: damaged" in capsys.readouterr().out
    with pytest.raises(UserError, match="undamaged"):
        looking.status("bad", str(tmp_path), as_json=True)


def test_people_see_warnings_limits_and_the_log(tmp_path: Path, capsys: Captured) -> None:
    events = limited(journal())[:40]
    warning = {"schema": 1, "seq": 40, "time_ms": events[-1]["time_ms"] + 1, "kind": "warning", "text": "look [here]"}
    stored(tmp_path, [*events, warning])
    looking.status("one", str(tmp_path))
    out = capsys.readouterr().out
    words_in_it = "stopped without a word", "1 warning", "warning: look [here]", "limits (", "sweep.log", "budget used"
    for words in words_in_it:
        assert words in out, words


def test_why_a_study_was_given_up_is_shown_to_people_and_machines(tmp_path: Path, capsys: Captured) -> None:
    events = journal()[:40]
    study, why = {"problem": "digits-rotated", "method": "augnet"}, "the probe failed: a rule"
    failed = {"schema": 1, "seq": 40, "time_ms": events[-1]["time_ms"] + 1, "kind": "stage_done", "stage": "failed",
              "uid": "digits-rotated/augnet/failed", "reason": f"{why}\n  got:  1\n  hint: [do] that", **study}
    made = stored(tmp_path, [*events, failed])
    reasons = {(s["problem"], s["method"]): s["reason"] for s in described(made)["studies"]}
    assert reasons.pop(("digits-rotated", "augnet")) == f"{why} (got: 1; hint: [do] that)"
    assert set(reasons.values()) == {None}
    looking.status("one", str(tmp_path))
    shown = " ".join(capsys.readouterr().out.split())
    assert f"digits-rotated/augnet gave up: {why} (got: 1; hint: [do] that)" in shown


def test_an_mlflow_that_is_behind_is_shown_to_people_and_machines(tmp_path: Path, capsys: Captured) -> None:
    made = stored(tmp_path, journal()[:40])
    assert described(made)["mlflow"]["behind"] == 0
    looking.status("one", str(tmp_path))
    assert "MLflow" not in capsys.readouterr().out
    Backlog(made.place)(12, "down")
    found = described(made)["mlflow"]
    assert (found["behind"], found["error"]) == (12, "down")
    looking.status("one", str(tmp_path))
    out = " ".join(capsys.readouterr().out.split())
    assert "MLflow: 12 events behind" in out and f"`invsearch sync {tmp_path / 'one'}` writes them" in out
    with Journal(made.place):
        looking.status("one", str(tmp_path))
    assert "the driver goes on trying" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("name", "as_json"), [(None, False), ("one", True), (None, True)])
def test_there_must_be_a_table_to_watch(name: str | None, as_json: bool, tmp_path: Path) -> None:
    stored(tmp_path, journal()[:40])
    with pytest.raises(UserError, match="--watch shows the table of one sweep"):
        looking.status(name, str(tmp_path), as_json, watch=True)


def test_a_report_for_machines(tmp_path: Path, capsys: Captured) -> None:
    made = stored(tmp_path, journal())
    looking.report("one", str(tmp_path), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {
        "name", "rows", "seeds", "conclusions", "missing", "warnings", "waste", "artefacts", "break_even",
    }
    assert len(found["rows"]) == 10 and found["missing"] == found["warnings"] == []
    assert not made.report.exists(), "it only tells"

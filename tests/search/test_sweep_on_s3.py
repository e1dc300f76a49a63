"""A whole sweep on an object store: its driver is killed, another one takes its place, and nothing of that shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.analysis import decision_table
from search.sweep import Sweep
from tests.chaos import laws
from tests.support.drivers import REQUEST_SECONDS, command, sweep, wait_for, wait_until, words
from tracking import lease
from tracking.journal import Event
from tracking.read import default_store, history, runs
from tracking.storage import Place

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]
RESULTS = 20  # of some 90
LAWS = laws.ended, laws.numbered, laws.nothing_doubled, laws.nothing_lost, laws.nothing_failed


def test_a_driver_that_is_killed_is_followed_by_another(alone: list[Event], s3: str, tmp_path: Path) -> None:
    root, data = Place.of(s3.format("killed")), str(tmp_path / "data")
    where = ("--cpus", "2", "--root", root.uri)
    made = sweep(root, "mine")
    first = command(root.uri, "compare", *words(tmp_path, "mine"), *where, XDG_DATA_HOME=data)
    wait_for(root, "mine", RESULTS, first)
    first.kill()
    first.communicate()
    left, before = held(made), made.events()
    assert left["owner"]["pid"] == first.pid  # nobody was there to release it
    assert before[-1]["kind"] not in ("interrupted", "sweep_done")

    second = command(root.uri, "resume", "mine", *where, XDG_DATA_HOME=data)
    wait_until(lambda: held(made).get("owner", left["owner"])["pid"] == second.pid, second, REQUEST_SECONDS)
    assert held(made)["epoch"] > left["epoch"]
    out, err = second.communicate(timeout=240)
    assert second.returncode == 0, out + err

    after = made.events()
    assert after[: len(before)] == before and [e["kind"] for e in after].count("resumed") == 1
    for law in LAWS:
        law(after)
    assert decision_table(after) == decision_table(alone)
    laws.one_run_per_trial(after, curves(Path(data) / "invsearch", "mine"))
    assert made.report.exists("report.html") and not made.place.exists(lease.FILE)


def held(made: Sweep) -> dict[str, Any]:
    """What stands in the lease; nothing where it is free."""
    try:
        found: dict[str, Any] = json.loads(made.place.read(lease.FILE))
    except FileNotFoundError:
        return {}
    return found


def curves(folder: Path, name: str) -> list[tuple[str, list[int]]]:
    """uid and steps of the learning curve of every trial's run in MLflow."""
    store = default_store(folder, name)
    return [
        (run["tags"]["uid"], [step for step, *_ in history(store, run["run_id"], "val/score")])
        for run in runs(store, name)
    ]

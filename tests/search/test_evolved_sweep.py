"""Population based augmentation through real Ray: killed in mid-generation and resumed, it ends with the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search import runner
from search.analysis import decision_table
from search.lines import FOLDER
from search.sweep import Sweep
from tests.chaos import laws
from tests.support.drivers import command, launch, sweep, toy, wait_for
from tracking.journal import Event

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]
PBA: dict[str, Any] = {
    "methods": [{"name": "plain"}, {"name": "pba", "settings": {"generations": 4}}], "budget": 4.0, "slices": 8,
}
RESULTS = (25, 40)  # of some 70
LAWS = laws.ended, laws.numbered, laws.nothing_doubled, laws.nothing_lost, laws.nothing_failed


@pytest.fixture(scope="module")
def undisturbed(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return runner.compare(toy(**PBA), tmp_path_factory.mktemp("bred") / "whole").sweep


def members(events: list[Event]) -> list[Event]:
    return [e for e in events if e["kind"] == "asked" and e["method"] == "pba" and e["stage"] == "tune"]


def test_a_whole_sweep_breeds_confirms_and_leaves_no_states(undisturbed: Sweep) -> None:
    events = undisturbed.events()
    asked = members(events)
    assert [e["generation"] for e in asked] == [g for g in range(4) for _ in range(len(asked) // 4)]
    assert len(asked) // 4 > 1
    confirmed = [e["config"] for e in events if e["kind"] == "asked" and e["uid"] == "toy/pba/rerun-1"]
    assert confirmed[0]["schedule"] in [e["config"]["schedule"] for e in asked if e["generation"] == 3]
    assert {"schedule.json", "schedule.md"} <= set((undisturbed.place / "exports" / "toy" / "pba").names())
    assert not (undisturbed.place / FOLDER).exists()
    laws.nothing_failed(events)


def test_killed_twice_and_resumed_it_ends_with_the_same_table(undisturbed: Sweep, tmp_path: Path) -> None:
    root = tmp_path / "sweeps"
    driver = launch(root, "cut", **PBA)
    for results in RESULTS:
        wait_for(root, "cut", results, driver)
        driver.kill()
        driver.communicate()
        driver = command(root, "resume", "cut", "--cpus", "2")
    out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, out + err
    events = sweep(root, "cut").events()
    for law in LAWS:
        law(events)
    assert decision_table(events) == decision_table(undisturbed.events())
    assert not (sweep(root, "cut").place / FOLDER).exists()

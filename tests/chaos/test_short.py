"""The short version of the chaos suite: three kills in the quick tests' own Ray session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search import configuration, runner
from search.runner import ExitCode
from tests.chaos import laws, victims
from tests.chaos.trial import Chained
from tests.chaos.undisturbed import simulated
from tracking.journal import Event, of_kind
from tracking.storage import Place

SMALL: dict[str, Any] = {
    "problems": [{"label": "one", "source": {"name": "digits"}}],
    "methods": [{"name": "plain"}, {"name": "augnet"}],
    "horizon": 60, "slices": 6, "budget": 3.0, "confirm_seeds": 2, "parallel_trials": 1,
}
AFTER = (8, 20, 32)  # results


class Killer:
    """Sees every event, and kills the worker that has just reported where it is to go on."""

    def __init__(self, place: Path) -> None:
        self._place, self._results, self.killed = place, 0, set[int]()

    def __call__(self, event: Event) -> None:
        self._results += event["kind"] == "result"
        due = len(self.killed) < len(AFTER) and self._results >= AFTER[len(self.killed)]
        if due and event["kind"] == "result" and event["status"] == "running":
            pid = victims.worker_of(self._place, event["uid"])
            if pid is not None and pid not in self.killed:
                victims.kill(pid)
                self.killed.add(pid)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_three_workers_are_killed_and_nothing_shows(ray_session: None, tmp_path: Path) -> None:
    place, killer = tmp_path / "cut", Killer(tmp_path / "cut")
    outcome = runner.compare(configuration.validate(SMALL), Place.of(place), (killer,), trainable=Chained)
    assert outcome.code is ExitCode.DONE
    assert len(killer.killed) == len(AFTER)
    events = victims.events(place)
    assert of_kind(events, "retry", cause="died")
    laws.check(events, simulated(events[0]))

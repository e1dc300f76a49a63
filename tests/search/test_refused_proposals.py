"""A point of the space that the configuration refuses is a trial that fails, and no end of the sweep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.simulation import Simulation, Stopped, comparison, decisions, simulated
from tests.support.trials import assignment
from tracking.journal import Event
from tracking.record import Stage
from trainables.assignment import Assignment, Report
from trainables.harness import Harness
from trainables.plugins import PREFIX, PluginFile

CROSS = """
    from typing import ClassVar
    from tests.support.broken_methods import RefusesItsSpace

    class Cross(RefusesItsSpace):
        name: ClassVar[str] = "lower_and_upper"
"""


@pytest.fixture
def described(tmp_path: Path) -> Iterator[dict[str, Any]]:
    path, before = tmp_path / "cross.py", set(sys.modules)
    path.write_text(dedent(CROSS))
    yield {
        "plugins": [PluginFile.of(path).model_dump(mode="json")], "problems": comparison().problems[:1],
        "methods": [{"name": "lower_and_upper"}], "budget": 20.0,
    }
    for name in set(sys.modules) - before:
        if name.startswith(PREFIX):
            del sys.modules[name]


def curve(assignment: Assignment, index: int) -> Report:
    """Of what was refused no score, as a trial that fails has none."""
    if "learning_rate" in assignment.settings:
        return simulated(assignment, index)
    rest = {**assignment.settings, "learning_rate": 0.1}
    return simulated(assignment.model_copy(update={"settings": rest}), index).model_copy(update={"score": None})


def test_the_sweep_goes_on_and_is_resumed_as_if_undisturbed(described: dict[str, Any]) -> None:
    whole, events = list[Event](), list[Event]()
    Simulation(comparison(**described, max_failures=99), whole, curve=curve).run()
    asked = [e["config"] for e in whole if e["kind"] == "asked" and e["stage"] == Stage.TUNE]
    refused = [config for config in asked if config["lower"] >= config["upper"]]
    assert len(refused) > 3 and all(set(config) == {"lower", "upper"} for config in refused)
    assert all("learning_rate" in config for config in asked if config not in refused) and len(asked) > len(refused)
    for stop in (len(whole) // 3, 2 * len(whole) // 3):
        with pytest.raises(Stopped):
            Simulation(comparison(**described, max_failures=99), events, 1, stop_after=stop, curve=curve).run()
    Simulation(comparison(**described, max_failures=99), events, 2, curve=curve).run()
    assert decisions(events) == decisions(whole)


def test_a_trial_of_it_says_why_it_fails(tmp_path: Path, described: dict[str, Any]) -> None:
    comparison(**described)  # loads the file
    with pytest.raises(ValidationError, match="lower < upper"):
        Harness(assignment(tmp_path, method="lower_and_upper", settings={"lower": 0.7, "upper": 0.1}))

"""Recorded trials as a workload: what was recorded comes out again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from search.director import Director
from search.simulator import Simulator
from search.study import Comparison
from tracking.journal import Event
from tracking.storage import Place

FILE = Path(__file__).parents[2] / "benchmarks" / "curves.py"


@pytest.fixture(scope="module")
def curves() -> Any:
    spec = importlib.util.spec_from_file_location("curves", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def simulate(curves: Any, recorded: dict[str, Any], **changes: Any) -> list[Event]:
    """A small sweep of recorded trials, as a journal."""
    described = Comparison.model_validate({
        "problems": [{"label": label, "source": {"name": "digits"}} for label in ("digits-rotated", "elsewhere")],
        "methods": [{"name": "plain"}, {"name": "augnet"}], "horizon": 240, "budget": 4.0, "confirm_seeds": 2,
        "asha": None, **changes,
    })
    events: list[Event] = [{"comparison": json.loads(described.model_dump_json()), "provenance": {}, "kind": "sweep"}]

    def emit(kind: str, **fields: Any) -> Event:
        events.append({"kind": kind, **fields})
        return events[-1]

    director = Director(described, Place.of("nowhere"), Path("nowhere"), emit)
    Simulator(director, 4, curves.Replayed(recorded)).run()
    return events


def test_a_replayed_trial_costs_what_the_recorded_one_did(curves: Any) -> None:
    recorded = curves.load()
    again = curves.extract(simulate(curves, recorded))
    known = {(t["method"], t["stage"]): set() for t in recorded["trials"]}
    for trial in recorded["trials"]:
        known[trial["method"], trial["stage"]].add(trial["flops"][-1])
    assert len(again["trials"]) > 10
    for trial in again["trials"]:
        assert trial["flops"][-1] in known[trial["method"], trial["stage"]]
        assert trial["flops"] == sorted(trial["flops"]) and len(trial["flops"]) == 12
    assert {trial["stage"] for trial in again["trials"]} == {"tune", "rerun", "replay"}


def test_a_longer_training_costs_more(curves: Any) -> None:
    recorded = curves.load()
    short, long = (curves.extract(simulate(curves, recorded, horizon=h))["trials"][0] for h in (240, 480))
    assert long["flops"][-1] == pytest.approx(2 * short["flops"][-1])


def test_the_same_sweep_twice(curves: Any) -> None:
    recorded = curves.load()
    first, second = (simulate(curves, recorded) for _ in range(2))
    other = simulate(curves, recorded, seed=1)
    assert first == second
    assert [e for e in first if e["kind"] == "result"] != [e for e in other if e["kind"] == "result"]


def test_only_whole_trials_are_extracted(curves: Any) -> None:
    events = simulate(curves, curves.load())
    whole = curves.extract(events)["trials"]
    cut = [e for e in events if not (e["kind"] == "result" and e["uid"].endswith("tune-000") and e["index"] == 11)]
    assert len(curves.extract(cut)["trials"]) == len(whole) - 4

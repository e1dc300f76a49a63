"""Assignments of tiny trials, and reports without what a clock or the memory says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import toy_problems  # noqa: F401 - importing it makes its sources known
from tracking.record import Stage
from trainables.assignment import Assignment, Report
from trainables.harness import Harness
from trainables.making import MakerHarness
from trainables.plugins import PluginFile

CHEATS = PluginFile.of(Path(__file__).with_name("cheats.py"))
ROTATED = {
    "label": "toy", "source": {"name": "toy_images"},
    "wrappers": [{"name": "nuisance", "ranges": {"rotation": 30.0}}],
}
SIGNALS = {"label": "signals", "source": {"name": "toy_signals"}}
PROTOCOL = {
    "network": "mlp", "horizon": 6, "slices": 3, "seed": 0, "device": "cpu", "invariance_examples": 8, "copies": 2,
    "class_images": 4, "class_draws": 2,
    "strengths": 1, "plugins": [CHEATS.model_dump(mode="json")],
}


OF_PROTOCOL = ("score_examples", "checkpoint_seconds", "network", "making_workers")


def assignment(tmp_path: Path, method: str = "honest", stage: Stage = Stage.TUNE, **changes: Any) -> Assignment:
    """A trial of three slices of two updates; `changes` are fields of the assignment, or some of its protocol's."""
    protocol = PROTOCOL | {name: changes.pop(name) for name in OF_PROTOCOL if name in changes}
    fields: dict[str, Any] = {
        "uid": f"toy/{method}/{stage}-0", "stage": stage, "problem": ROTATED, "row": method, "method": method,
        "settings": {"batch_size": 8}, "index": 0, "seed": 1, "partition": 0, "protocol": protocol,
        "place": str(tmp_path / "checkpoints"), "cache": tmp_path / "cache",
    }
    return Assignment.model_validate(fields | changes)


def finish(harness: Harness | MakerHarness) -> list[Report]:
    """All reports that are still to come."""
    reports = [harness.advance()]
    while reports[-1].status == "running":
        reports.append(harness.advance())
    return reports


def logical(report: Report) -> dict[str, Any]:
    """What two equal trials share to the last bit: everything but seconds and bytes."""
    return _without_clock(report.model_dump(mode="json"))


def _without_clock(data: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in data.items() if "seconds" not in name and "bytes" not in name}
    return {name: _without_clock(value) if isinstance(value, dict) else value for name, value in kept.items()}

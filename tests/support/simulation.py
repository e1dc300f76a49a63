"""Drives a real Director with simulated trials: real Optuna and ASHA, no Ray, no training, any order of events."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from search import configuration
from search.director import Director
from search.study import Comparison
from search.tuning import Verdict
from search.wanted import Wanted
from tests.support.artefacts import MAKER
from tracking.journal import Event
from tracking.ledger import Ledger, Phase, PhaseCost
from tracking.record import Cause, Stage, Status
from tracking.storage import Place
from trainables.assignment import Assigned, Assignment, Making, Report
from trainables.method import stable_seed

SLICES = 9
MAKING_SLICES, MAKING_FLOPS = 4, 800_000  # of an artefact
Curve = Callable[[Assignment, int], Report]


class Stopped(Exception):
    """The simulated driver was killed."""


def comparison(**changes: Any) -> Comparison:
    """Two problems, three methods, small budgets."""
    fields: dict[str, Any] = {
        "problems": [
            {"label": "one", "source": {"name": "digits"}},
            {"label": "two", "source": {"name": "digits"}, "wrappers": [{"name": "few_shot", "shots": 40}]},
        ],
        "methods": [{"name": "plain"}, {"name": "trivial_augment"}, {"name": "augnet"}],
        "horizon": 90,
        "slices": SLICES,
        "budget": 6.0,
        "confirm_seeds": 2,
    }
    return Comparison.model_validate(fields | changes)


NEEDY = [{"name": "plain"}, {"name": "needs_toy"}, {"name": "also_needs_toy"}]


def needy(**changes: Any) -> Comparison:
    """Two problems on the same digits and three methods, two of which need the same artefact."""
    fields = {"methods": NEEDY, "plugins": configuration.plugin_files([MAKER.path]), "budget": 2.0, "confirm_seeds": 1}
    return comparison(**(fields | changes))


def simulated(assignment: Assignment, index: int) -> Report:
    """A learning curve that depends on the assignment only: noisy, better near a learning rate of 0.1."""
    noise = random.Random(stable_seed(assignment.uid, index))
    rate = float(assignment.settings["learning_rate"])
    slices = 1 if assignment.stage is Stage.PROBE else SLICES
    done = index + 1 == slices
    score = 0.9 - abs(rate - 0.1) - 0.3 / (index + 1) + noise.gauss(0.0, 0.02)
    cost = {"plain": 100, "trivial_augment": 110, "augnet": 150}.get(assignment.method, 120)
    share = 0.1 if assignment.stage is Stage.PROBE else (index + 1) / SLICES
    found = assignment.settings | {"learning_rate": 0.2} if assignment.method == "augnet" else None
    return Report(
        uid=assignment.uid, index=index, ready=index >= 1 or done, score=score, flops=round(cost * share * 1000),
        status=Status.COMPLETE if done else Status.RUNNING, metrics={"val/score": score},
        found=found if done and assignment.stage is Stage.RERUN else None, ledger={} if done else None,
    )


def simulated_making(job: Making, index: int) -> Report:
    """An artefact in four slices."""
    done, flops = index + 1 == MAKING_SLICES, MAKING_FLOPS * (index + 1) // MAKING_SLICES
    ledger = Ledger({Phase.PRETRAIN: PhaseCost(flops=flops, examples=index + 1, wall_seconds=2.0 * (index + 1))})
    told = {"key": job.key, "sha256": "5" * 64, "size": 9, "ledger": ledger.to_json()}
    return Report(
        uid=job.uid, index=index, ready=False, score=None, flops=flops,
        status=Status.COMPLETE if done else Status.RUNNING,
        metrics={"artefact/progress": (index + 1) / MAKING_SLICES, **ledger.metrics()},
        ledger=ledger.to_json() if done else None, artefact=told if done else None,
    )


class Simulation:
    """One driver's life: starts trials while slots are free and lets a random one report next.

    Args:
        events: the journal so far, shared with the drivers before and after this one.
        order: seeds the interleaving of reports.
        stop_after: the driver is killed once the journal holds this many events.
        checkpoint_every: a restarted trial continues from the last multiple of so many reports.
        deaths: how likely a worker dies instead of reporting.
        wanted: the artefacts.
        making: what their trials report.
    """

    def __init__(
        self, described: Comparison, events: list[Event], order: int = 0, slots: int = 3,
        stop_after: int | None = None, checkpoint_every: int = 2, curve: Curve = simulated, deaths: float = 0.0,
        wanted: Wanted | None = None, making: Callable[[Making, int], Report] = simulated_making,
    ) -> None:
        self._events, self._slots, self._stop_after, self._curve = events, slots, stop_after, curve
        self._deaths, self._making = deaths, making
        self._random, self._every = random.Random(order), checkpoint_every
        self.director = Director(described, Place.of("nowhere"), "nowhere", self._emit, wanted=wanted)
        self.director.replay([json.loads(json.dumps(event)) for event in events])
        self.director.settle()

    def run(self) -> Director:
        """Until everything is done; raises Stopped where the driver is killed."""
        running: list[tuple[Assigned, int]] = []
        while not self.director.finished:
            while len(running) < self._slots and (assignment := self.director.next()) is not None:
                running.append((assignment, assignment.known - assignment.known % self._every))
            assignment, index = running.pop(self._random.randrange(len(running)))
            if self._random.random() < self._deaths:
                cause = self._random.choice([Cause.DIED, Cause.HUNG, Cause.MEMORY])
                self.director.lost(assignment.uid, cause, "planted")
                continue
            report = (self._making if isinstance(assignment, Making) else self._curve)(assignment, index)
            if self.director.report(report) is Verdict.CONTINUE:
                running.append((assignment, index + 1))
        return self.director

    def _emit(self, kind: str, **fields: Any) -> Event:
        if self._stop_after is not None and len(self._events) >= self._stop_after:
            raise Stopped
        event = {"seq": len(self._events), "time_ms": 0, "kind": kind, **fields}
        json.dumps(event, allow_nan=False)
        self._events.append(event)
        return event


def decisions(events: list[Event]) -> dict[str, list[Any]]:
    """Per study, in order: what was asked with which settings, and how each trial ended. No interleaving."""
    asked = {e["uid"]: e for e in events if e["kind"] == "asked"}
    found: dict[str, list[Any]] = {}
    for event in events:
        if event["kind"] in ("asked", "ended"):
            key = "/".join(event["uid"].split("/")[:2])
            stage = asked[event["uid"]]["stage"]
            row = [event["kind"], event["uid"], event.get("config"), event.get("status")]
            found.setdefault(f"{key} {stage if stage == 'tune' else 'rest'}", []).append(row)
    # Confirm trials of one study run side by side, so only their set is fixed.
    return {key: rows if key.endswith("tune") else sorted(rows, key=str) for key, rows in found.items()}


def undisturbed(order: int = 0, **changes: Any) -> list[Event]:
    """The journal of a sweep in which nothing goes wrong."""
    events: list[Event] = []
    Simulation(comparison(**changes), events, order).run()
    return events

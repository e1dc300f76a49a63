"""Where a sweep stands, from its events alone: the live screen and `invsearch status` show the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from search.making_status import Makings
from search.settings import Limits
from search.spending import Spending
from search.study import ARTEFACTS
from search.words import counted, duration, listed, on_one_line
from tracking.journal import Event
from tracking.record import Stage, Status

CONFIRM = (Stage.RERUN, Stage.REPLAY)
RUNNING = "running"
WARNINGS_KEPT = 20


@dataclass
class StudyStanding:
    """One (problem, method).

    Args:
        confirmed: confirm trainings that have ended; `replayed` of them replays of what was found, for `replay_flops`.
        finds: whether the method has something to replay.
        reason: why it was given up, on one line.
        generation: the last one that a trial was asked for, where they are bred; `members` of the first one.
    """

    stage: str = "waiting"
    tuned: int = 0
    running: int = 0
    failed: int = 0
    best: float | None = None
    spent_flops: float = 0.0
    confirmed: int = 0
    replayed: int = 0
    replay_flops: float = 0.0
    finds: bool = False
    generation: int | None = None
    members: int = 0
    reason: str | None = None


@dataclass
class Standing:
    """Folds events into numbers; knows nothing of Ray or of files."""

    studies: dict[tuple[str, str], StudyStanding] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    makings: Makings = field(default_factory=Makings)  # of artefacts
    state: str = "not started"
    budget: float = 0.0  # of every study, in plain trainings
    stopped_by: str | None = None  # which limit, or which signal, stopped the driver
    retries: int = 0
    warnings: list[str] = field(default_factory=list)  # the latest ones
    warned: int = 0
    spending: Spending = field(default_factory=Spending)
    limits: Limits = field(default_factory=Limits)
    driver: dict[str, Any] = field(default_factory=dict)  # what the latest driver said of itself when it started
    _trials: dict[str, Event] = field(default_factory=dict)  # uid -> its `asked` event
    _flops: dict[str, float] = field(default_factory=dict)
    _full: dict[tuple[str, str], float] = field(default_factory=dict)  # FLOPs of one whole training
    _seeds: int = 0
    _replays: int = 0
    _share: float = 0.0
    _now_ms: int = 0
    _driver_started_ms: int = 0
    _total_flops: float = 0.0
    _driver_flops: float = 0.0

    def take(self, event: Event) -> None:
        self._now_ms = event["time_ms"]
        self.spending.take(event)
        self.makings.take(event)
        match event["kind"]:
            case "sweep":
                self._begin(event)
            case "resumed":
                self._driver_flops = 0.0
                self._drive(event, event.get("overrides") or {})
            case "asked":
                self._asked(event)
            case "result":
                self._result(event)
            case "retry":
                self.retries += 1
            case "warning":
                self.warned += 1
                self.warnings = [*self.warnings, event["text"]][-WARNINGS_KEPT:]
            case "ended":
                self._ended(event)
            case "stage_done":
                study = self._study(event["problem"], event["method"])
                study.stage = {"tune": "confirm", "confirm": "done"}.get(event["stage"], "failed")
                study.reason = on_one_line(event["reason"]) if event["reason"] else None
            case "interrupted":
                by = event.get("by")
                self.state = "limit reached" if by == "limit" else "interrupted"
                self.stopped_by = event.get("reason") or by
            case "sweep_done":
                self.state = "done"

    @property
    def total_flops(self) -> float:
        """All that was spent so far."""
        return self._total_flops

    @property
    def share_done(self) -> float:
        """Of the planned work, in [0, 1]; what the methods have not shown yet is assumed to cost one plain training.

        Never falls from one look to the next: where a method turns out to be dearer than was assumed, the share waits
        for it. Worked out only when somebody looks, since it goes over all studies.
        """
        self._share = max(self._share, self._share_now())
        return self._share

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this driver so far; None before there is a pace."""
        seconds = (self._now_ms - self._driver_started_ms) / 1000
        if self._driver_flops <= 0 or seconds <= 0 or (self.studies and not self.units):
            return None
        return self._left_flops() * seconds / self._driver_flops

    def rows(self) -> list[tuple[str, ...]]:
        """problem, method, stage, trials, best score, budget used."""
        rows: list[tuple[str, ...]] = self.makings.rows(ARTEFACTS)
        for (problem, method), study in self.studies.items():
            unit = self.units.get(problem)
            used = f"{study.spent_flops / unit:.1f} of {self.budget:g}" if unit else "-"
            trials = f"{study.tuned}" + (f" ({study.failed} failed)" if study.failed else "")
            stage = f"confirm {study.confirmed}" if study.stage == "confirm" else study.stage
            rows.append((problem, method, stage, trials, "-" if study.best is None else f"{study.best:.4f}", used))
        return rows

    def foot(self) -> str:
        """One line: state, cost, time."""
        left = self.seconds_left
        remaining = "" if left is None or self.state != RUNNING else f", about {duration(left)} left"
        why = f" ({self.stopped_by})" if self.stopped_by is not None else ""
        elapsed = duration(self.spending.wall_seconds())
        return (
            f"{self.state}{why}: {self.total_flops:.3g} FLOPs in {elapsed}{remaining}"
            f"{counted(self.retries, 'retry', 'retries')}{counted(self.warned, 'warning', 'warnings')}"
        )

    def given_up(self) -> list[str]:
        """One line for each reason why studies were given up: one that failed for all of a problem is told once."""
        told: dict[str, list[str]] = {}
        for (problem, method), study in self.studies.items():
            if study.reason is not None:
                told.setdefault(study.reason, []).append(f"{problem}/{method}")
        return [f"{listed(names)} gave up: {reason}" for reason, names in told.items()]

    def limits_line(self) -> str | None:
        """How much of each limit is used; None where there is none."""
        uses = [f"{name} {spent:.4g} of {limit:.4g}" for name, spent, limit in self.spending.uses(self.limits)]
        return f"limits (evaluation and waste count): {', '.join(uses)}" if uses else None

    def line(self, event: Event) -> str | None:
        """One plain line for what a person wants to know; None for the rest."""
        match event["kind"]:
            case "ended":
                score = event["metrics"].get("val/score")
                shown = "" if score is None else f" select {score:.4f}"
                why = f": {on_one_line(event['reason'])}" if event.get("reason") else ""
                return f"{self.share_done:4.0%} {event['uid']} {event['status']}{shown}{why}"
            case "artefact":
                how = "was in the store" if event["cached"] else "is ready"
                return f"{self.share_done:4.0%} {event['label']} {how}: {event['uri']}"
            case "artefact_gone":
                label = self.makings.known[event["key"]].label
                return f"{label} is made again: {on_one_line(event['reason'])}"
            case "stage_done" if event["reason"]:
                return f"{event['problem']}/{event['method']} gave up: {on_one_line(event['reason'])}"
            case "retry":
                again = f"{event['uid']} is started again ({event['cause']}, attempt {event['attempt'] + 1})"
                return f"{again}: {on_one_line(event['reason'])}"
            case "warning":
                return f"warning: {on_one_line(event['text'])}"
            case "sweep" | "resumed" | "interrupted" | "sweep_done":
                where = f"; Ray dashboard: {event['dashboard']}" if event.get("dashboard") else ""
                return f"{event['kind'].replace('_', ' ')}: {self.foot()}{where}"
        return None

    def _begin(self, event: Event) -> None:
        comparison = event["comparison"]
        self.limits = Limits.model_validate(comparison.get("limits") or {})
        self._drive(event, {})
        self.budget, self._seeds = comparison["budget"], comparison["confirm_seeds"]
        self._replays = comparison.get("replay_trainings", 1) if comparison.get("replay", False) else 0
        for problem in comparison["problems"]:
            for method in comparison["methods"]:
                self._study(problem["label"], method["label"] or method["name"])

    def _drive(self, event: Event, overrides: dict[str, Any]) -> None:
        """Another driver begins, perhaps with other limits."""
        self.state, self.stopped_by, self._driver_started_ms = RUNNING, None, event["time_ms"]
        self.driver = {name: event.get(name) for name in ("driver", "slots", "dashboard")}
        for key, value in overrides.items():
            head, _, name = key.partition(".")
            if head == "limits":
                self.limits = Limits.model_validate({**self.limits.model_dump(), name: value} if name else value)
            elif key == "price_per_device_hour":
                self.spending.reprice(float(value))

    def _asked(self, event: Event) -> None:
        self._trials[event["uid"]] = event
        self._running(event).running += 1
        if event["stage"] == Stage.TUNE:
            study = self._study(event["problem"], event["method"])
            study.tuned, study.stage = study.tuned + 1, "tune"
            if (generation := event.get("generation")) is not None:
                study.members += generation == 0
                if generation != study.generation:  # what comes now has come further than the best so far
                    study.generation, study.best = generation, None

    def _result(self, event: Event) -> None:
        uid, asked = event["uid"], self._trials[event["uid"]]
        if event.get("found") is not None and asked["stage"] == Stage.RERUN:
            self._study(asked["problem"], asked["method"]).finds = True
        gained = event["flops"] - self._flops.get(uid, 0.0)
        if gained <= 0:
            return
        self._flops[uid] = event["flops"]
        self._total_flops += gained  # adding up ten thousand trials at each event would take longer than deciding
        self._driver_flops += gained
        if asked["stage"] == Stage.TUNE:
            self._study(asked["problem"], asked["method"]).spent_flops += gained

    def _ended(self, event: Event) -> None:
        asked = self._trials[event["uid"]]
        self._running(asked).running -= 1
        stage, complete = asked["stage"], event["status"] == Status.COMPLETE
        if stage == Stage.ARTEFACT:
            return
        if stage == Stage.UNIT:
            self.units[asked["problem"]] = self._flops.get(event["uid"], 0.0)
            return
        key = (asked["problem"], asked["method"])
        study = self._study(*key)
        study.failed += event["status"] == Status.FAILED
        study.confirmed += stage in CONFIRM
        if stage == Stage.REPLAY:
            study.replayed += 1
            study.replay_flops += self._flops.get(event["uid"], 0.0)
        if stage == Stage.TUNE and complete:
            parts = 1 if study.generation is None else asked["config"]["generations"]
            self._full[key] = self._flops.get(event["uid"], 0.0) * parts
            score = (event.get("metrics") or {}).get("val/score")
            study.best = max((known for known in (study.best, score) if known is not None), default=None)

    def _running(self, asked: Event) -> StudyStanding:
        """Who has the trial in flight; what studies share is nobody's."""
        if asked["stage"] in (Stage.UNIT, Stage.ARTEFACT):
            return StudyStanding()
        return self._study(asked["problem"], asked["method"])

    def _share_now(self) -> float:
        if not self.studies:
            return self.makings.share_done
        if not self.units:
            return 0.0  # nothing is known yet about what is to come
        done, left = self.total_flops, self._left_flops()
        return done / (done + left) if done + left else 0.0

    def _left_flops(self) -> float:
        """Artefacts under way, tuning budget and confirm trainings that are still to come."""
        left = self.makings.left_flops
        if not self.units:
            return left
        usual = sum(self.units.values()) / len(self.units)
        for (problem, method), study in self.studies.items():
            unit = self.units.get(problem, usual)
            if study.stage in ("waiting", "tune"):
                own = study.members * self._full.get((problem, method), unit)
                left += max(0.0, (own or self.budget * unit) - study.spent_flops)
            if study.stage in ("waiting", "tune", "confirm"):
                left += max(0, self._seeds - study.confirmed + study.replayed) * self._full.get((problem, method), unit)
                replays = self._seeds * self._replays if study.finds else 0
                # What was found trains without a search: as plain training does, until one has shown what it costs.
                each = study.replay_flops / study.replayed if study.replayed else unit
                left += max(0, replays - study.replayed) * each
        return left

    def _study(self, problem: str, method: str) -> StudyStanding:
        return self.studies.setdefault((problem, method), StudyStanding())

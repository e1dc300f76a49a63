"""Where a sweep stands, from its events alone: the live screen and `invsearch status` show the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracking.journal import Event
from tracking.record import Stage, Status

CONFIRM = (Stage.RERUN, Stage.REPLAY)


@dataclass
class StudyStanding:
    """One (problem, method).

    Args:
        confirmed: confirm trainings that have ended; `replayed` of them replays of what was found.
        finds: whether the method has something to replay.
    """

    stage: str = "waiting"
    tuned: int = 0
    running: int = 0
    failed: int = 0
    best: float | None = None
    spent_flops: float = 0.0
    confirmed: int = 0
    replayed: int = 0
    finds: bool = False


@dataclass
class Standing:
    """Folds events into numbers; knows nothing of Ray or of files."""

    studies: dict[tuple[str, str], StudyStanding] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    state: str = "not started"
    _trials: dict[str, Event] = field(default_factory=dict)  # uid -> its `asked` event
    _flops: dict[str, float] = field(default_factory=dict)
    _full: dict[tuple[str, str], float] = field(default_factory=dict)  # FLOPs of one whole training
    _budget: float = 0.0
    _seeds: int = 0
    _replay: bool = False
    _share: float = 0.0
    _started_ms: int = 0
    _now_ms: int = 0
    _driver_started_ms: int = 0
    _driver_flops: float = 0.0

    def take(self, event: Event) -> None:
        self._now_ms = event["time_ms"]
        match event["kind"]:
            case "sweep":
                self._begin(event)
            case "resumed":
                self.state, self._driver_started_ms, self._driver_flops = "running", event["time_ms"], 0.0
            case "asked":
                self._asked(event)
            case "result":
                self._result(event)
            case "ended":
                self._ended(event)
            case "stage_done":
                self._study(event["problem"], event["method"]).stage = {
                    "tune": "confirm", "confirm": "done"
                }.get(event["stage"], "failed")
            case "interrupted":
                self.state = "interrupted"
            case "sweep_done":
                self.state = "done"
        self._share = max(self._share, self._share_now())

    @property
    def total_flops(self) -> float:
        """All that was spent so far."""
        return sum(self._flops.values())

    @property
    def share_done(self) -> float:
        """Of the planned work, in [0, 1]; what the methods have not shown yet is assumed to cost one plain training.

        Never falls: where a method turns out to be dearer than was assumed, the share waits for it.
        """
        return self._share

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this driver so far; None before there is a pace."""
        seconds = (self._now_ms - self._driver_started_ms) / 1000
        if self._driver_flops <= 0 or seconds <= 0 or not self.units:
            return None
        return self._left_flops() * seconds / self._driver_flops

    def rows(self) -> list[tuple[str, ...]]:
        """problem, method, stage, trials, best score, budget used."""
        rows: list[tuple[str, ...]] = []
        for (problem, method), study in self.studies.items():
            unit = self.units.get(problem)
            used = f"{study.spent_flops / unit:.1f} of {self._budget:g}" if unit else "-"
            trials = f"{study.tuned}" + (f" ({study.failed} failed)" if study.failed else "")
            stage = f"confirm {study.confirmed}" if study.stage == "confirm" else study.stage
            rows.append((problem, method, stage, trials, "-" if study.best is None else f"{study.best:.4f}", used))
        return rows

    def foot(self) -> str:
        """One line: state, cost, time."""
        left = self.seconds_left
        remaining = "" if left is None or self.state == "done" else f", about {duration(left)} left"
        elapsed = duration((self._now_ms - self._started_ms) / 1000)
        return f"{self.state}: {self.total_flops:.3g} FLOPs in {elapsed}{remaining}"

    def line(self, event: Event) -> str | None:
        """One plain line for what a person wants to know; None for the rest."""
        match event["kind"]:
            case "ended":
                score = event["metrics"].get("val/score")
                shown = "" if score is None else f" select {score:.4f}"
                why = f": {first_line(event['reason'])}" if event.get("reason") else ""
                return f"{self.share_done:4.0%} {event['uid']} {event['status']}{shown}{why}"
            case "stage_done" if event["reason"]:
                return f"{event['problem']}/{event['method']} gave up: {first_line(event['reason'])}"
            case "sweep" | "resumed" | "interrupted" | "sweep_done":
                return f"{event['kind'].replace('_', ' ')}: {self.foot()}"
        return None

    def _begin(self, event: Event) -> None:
        comparison = event["comparison"]
        self.state, self._started_ms, self._driver_started_ms = "running", event["time_ms"], event["time_ms"]
        self._budget, self._seeds = comparison["budget"], comparison["confirm_seeds"]
        self._replay = comparison.get("replay", False)
        for problem in comparison["problems"]:
            for method in comparison["methods"]:
                self._study(problem["label"], method["label"] or method["name"])

    def _asked(self, event: Event) -> None:
        self._trials[event["uid"]] = event
        if event["stage"] == Stage.TUNE:
            study = self._study(event["problem"], event["method"])
            study.tuned, study.stage = study.tuned + 1, "tune"

    def _result(self, event: Event) -> None:
        uid, asked = event["uid"], self._trials[event["uid"]]
        if event.get("found") is not None and asked["stage"] == Stage.RERUN:
            self._study(asked["problem"], asked["method"]).finds = True
        gained = event["flops"] - self._flops.get(uid, 0.0)
        if gained <= 0:
            return
        self._flops[uid] = event["flops"]
        self._driver_flops += gained
        if asked["stage"] == Stage.TUNE:
            self._study(asked["problem"], asked["method"]).spent_flops += gained

    def _ended(self, event: Event) -> None:
        asked = self._trials[event["uid"]]
        stage, complete = asked["stage"], event["status"] == Status.COMPLETE
        if stage == Stage.UNIT:
            self.units[asked["problem"]] = self._flops.get(event["uid"], 0.0)
            return
        key = (asked["problem"], asked["method"])
        study = self._study(*key)
        study.failed += event["status"] == Status.FAILED
        study.confirmed += stage in CONFIRM
        study.replayed += stage == Stage.REPLAY
        if stage == Stage.TUNE and complete:
            self._full[key] = self._flops[event["uid"]]
            score = event["metrics"]["val/score"]
            study.best = score if study.best is None else max(study.best, score)

    def _share_now(self) -> float:
        if not self.units:
            return 0.0  # nothing is known yet about what is to come
        done, left = self.total_flops, self._left_flops()
        return done / (done + left) if done + left else 0.0

    def _left_flops(self) -> float:
        """Tuning budget and confirm trainings that are still to come."""
        if not self.units:
            return 0.0
        usual = sum(self.units.values()) / len(self.units)
        left = 0.0
        for (problem, method), study in self.studies.items():
            unit = self.units.get(problem, usual)
            if study.stage in ("waiting", "tune"):
                left += max(0.0, self._budget * unit - study.spent_flops)
            if study.stage in ("waiting", "tune", "confirm"):
                left += max(0, self._seeds - study.confirmed + study.replayed) * self._full.get((problem, method), unit)
                replays = self._seeds if study.finds and self._replay else 0
                left += max(0, replays - study.replayed) * unit  # what was found trains without a search
        return left

    def _study(self, problem: str, method: str) -> StudyStanding:
        return self.studies.setdefault((problem, method), StudyStanding())


def first_line(reason: str) -> str:
    """Of what an exception said, without what would move a terminal's cursor or change its colours."""
    line = next(iter(reason.strip().splitlines()), "")
    return "".join(character for character in line if character.isprintable())


def duration(seconds: float) -> str:
    """"45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

"""Decides what runs next and what a report leads to; a fold over the journal's events.

Four kinds of event change the state: `asked`, `result`, `retry` and `lost`. All others (`ended`, `stage_done`, ...)
follow from them and are written for readers. So a resumed sweep feeds the journal through the same code that ran live,
and stands where it stood.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from search.course import Asked, Course, Stand
from search.study import Comparison, SamplerName
from search.tuning import Verdict
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Cause, Stage, Status
from tracking.storage import Place
from trainables import plugins
from trainables.assignment import PROBE_FRACTION, Assignment, Report
from trainables.method import stable_seed

Emit = Callable[..., Event]
UNIT_ROW = "budget-unit"  # what the plain training that measures the budget's unit is called in the journal
CONFIRM_STAGES = (Stage.RERUN, Stage.REPLAY)


class DriftError(UserError):
    """The same journal leads this version of the code to another proposal."""


class Belief(StrEnum):
    """How far the proposals in a journal are taken as they are."""

    VERIFY = "verify"  # each is made again and compared
    RESUME = "resume"  # as many as tell another version of the code; the rest is fast
    TRUST = "trust"    # all: the user mixes versions


class Director:
    """The whole sweep: prepare, then tune and confirm of every study.

    Args:
        comparison: what is to be found out.
        place: of the sweep; checkpoints go below it.
        cache: data, once per node; None lets every node decide where.
        emit: writes an event to the journal and shows it to the observers.
        warm: observations of earlier sweeps, per "PROBLEM/METHOD", as the first event holds them.
    """

    def __init__(
        self, comparison: Comparison, place: Place, cache: Path | None, emit: Emit,
        warm: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        self.comparison = comparison
        self.courses = {
            (problem.label, method.key): Course(
                comparison, problem.label, method, (warm or {}).get(f"{problem.label}/{method.key}", ())
            )
            for problem in comparison.problems
            for method in comparison.methods
        }
        self._place, self._cache, self._emit = place, cache, emit
        self._problems = {problem.label: problem for problem in comparison.problems}
        self._units_asked: set[str] = set()
        self._open: dict[str, Assignment] = {}
        self._last: dict[str, Report] = {}  # the latest report of every open trial
        self._restart: list[str] = []  # open, but no worker has them: to be started before anything new
        self._failures: dict[str, Counter[Cause]] = {}  # of every open trial, since it last came further
        self._derived: list[tuple[str, str, dict[str, Any]]] = []
        self._written: set[tuple[str, str]] = set()

    @property
    def finished(self) -> bool:
        return not self._open and all(course.settled for course in self.courses.values())

    @property
    def restarts(self) -> bool:
        """Whether trials that were asked already wait for a worker."""
        return bool(self._restart)

    def next(self) -> Assignment | None:
        """What to start now; None while everything that could start waits for a running trial."""
        if self._restart:
            uid = self._restart.pop(0)
            return self._open[uid].model_copy(update={"known": self._known(uid)})
        assignment = self._propose()
        if assignment is not None:
            self._emit("asked", **self._asked_fields(assignment))
            self._open[assignment.uid] = assignment
        return assignment

    def report(self, report: Report) -> Verdict:
        """Journal one report and decide. A report that a crash made a worker repeat moves nothing."""
        if report.uid not in self._open or report.uid in self._restart:
            return Verdict.STOP  # a late word from a trial that has ended, or that another worker will go on with
        if report.note is not None:
            self._emit("warning", text=f"{report.uid}: {report.note}")
        if report.status is Status.FAILED:
            cause, reason = report.cause or Cause.RAISED, report.reason or "no reason given"
            if self._start_again(report.uid, cause, reason, report.metrics):
                return Verdict.STOP
        elif (known := self._known(report.uid)) != report.index:
            return self._out_of_turn(report, known)
        self._emit("result", **report.model_dump(mode="json"), values=self._values(report))
        verdict = self._take(report)
        self.settle()
        return verdict

    def lost(self, uid: str, cause: Cause, reason: str) -> None:
        """A trial's worker went without a word of its own."""
        if uid not in self._open or uid in self._restart or self._start_again(uid, cause, reason, {}):
            return
        self._emit("lost", uid=uid, cause=str(cause), reason=reason)
        self._lose(uid, reason)
        self.settle()

    def replay(self, events: list[Event], belief: Belief = Belief.RESUME) -> None:
        """Take in a journal; trials that were under way are started again before anything new.

        Raises:
            DriftError: a proposal differs from the recorded one.
        """
        for event in events:
            match event["kind"]:
                case "asked":
                    self._replay_asked(event, belief)
                case "result":
                    self._take(Report.model_validate({n: event[n] for n in Report.model_fields if n in event}))
                case "retry":
                    self._failures.setdefault(event["uid"], Counter())[Cause(event["cause"])] += 1
                case "lost":
                    self._lose(event["uid"], event["reason"])
                case "ended" | "stage_done" | "warning" if "uid" in event:
                    self._written.add((event["kind"], event["uid"]))
        self._restart = list(self._open)

    def settle(self) -> None:
        """Write the events that follow from what happened and are not in the journal yet."""
        for kind, uid, fields in self._derived:
            if (kind, uid) not in self._written:
                self._written.add((kind, uid))
                self._emit(kind, uid=uid, **fields)
        self._derived.clear()

    def _known(self, uid: str) -> int:
        """How many sound reports of a trial the journal holds."""
        last = self._last.get(uid)
        return 0 if last is None else last.index + 1

    def _values(self, report: Report) -> list[float | None]:
        """What the sampler is told of a whole trial: the score, and where cost is an objective the FLOPs."""
        two = self.comparison.sampler is SamplerName.NSGA_II
        return [report.score, float(report.flops)] if two else [report.score]

    def _out_of_turn(self, report: Report, known: int) -> Verdict:
        """A report that is known already costs and says nothing new; one that leaves a gap cannot be believed."""
        if report.index < known:
            spent = {n: value for n, value in report.metrics.items() if n.startswith(("cost/", "evaluation/"))}
            self._emit("repeated", uid=report.uid, index=report.index, metrics=spent)
            return Verdict.CONTINUE
        self.lost(report.uid, Cause.DIED, f"report {report.index} came, but the journal holds {known}")
        return Verdict.STOP

    def _start_again(self, uid: str, cause: Cause, reason: str, metrics: Mapping[str, float]) -> bool:
        """Queue a failed trial once more, unless it failed so often without having come further in between."""
        failures = self._failures.setdefault(uid, Counter())
        if failures[cause] >= getattr(self.comparison.retries, cause):
            return False
        spent = {name: value for name, value in metrics.items() if name.startswith(("cost/", "evaluation/"))}
        self._emit(
            "retry", uid=uid, cause=str(cause), reason=reason, attempt=failures[cause] + 1, index=self._known(uid),
            metrics=spent,
        )
        failures[cause] += 1
        self._restart.append(uid)
        return True

    def _propose(self) -> Assignment | None:
        for problem in self._problems:
            if problem not in self._units_asked:
                self._units_asked.add(problem)
                plain = plugins.method_config("plain")().model_dump(mode="json")
                return self._assignment(problem, UNIT_ROW, "plain", Asked(f"{problem}/unit", Stage.UNIT, 0, plain))
        waiting = [course for course in self.courses.values() if course.may_ask]
        if not waiting:
            return None
        course = max(waiting, key=lambda c: c.remaining_flops)  # longest first: the shortest makespan
        return self._assignment(course.problem, course.method.key, course.method.name, course.ask())

    def _assignment(self, problem: str, row: str, method: str, asked: Asked) -> Assignment:
        confirm = asked.stage in CONFIRM_STAGES
        # The method is left out: trial i of every method starts from the same weights and order of examples.
        role = "confirm" if confirm else str(asked.stage)
        return Assignment(
            uid=asked.uid, stage=asked.stage, problem=self._problems[problem], row=row, method=method,
            settings=asked.settings, index=asked.index,
            seed=stable_seed(self.comparison.seed, problem, role, asked.index),
            partition=asked.index if confirm else 0,
            protocol=self.comparison.protocol(),
            fraction=PROBE_FRACTION if asked.stage is Stage.PROBE else 1.0,
            place=str(self._place / "checkpoints" / asked.uid), cache=self._cache,
        )

    @staticmethod
    def _asked_fields(assignment: Assignment) -> dict[str, Any]:
        return {
            "uid": assignment.uid, "problem": assignment.problem.label, "method": assignment.row,
            "stage": str(assignment.stage), "index": assignment.index, "seed": assignment.seed,
            "partition": assignment.partition, "config": assignment.settings,
        }

    def _replay_asked(self, event: Event, belief: Belief) -> None:
        problem, row, uid, stage = event["problem"], event["method"], event["uid"], Stage(event["stage"])
        if stage is Stage.UNIT:
            self._units_asked.add(problem)
            asked, method = Asked(uid, stage, 0, event["config"]), "plain"
        else:
            course, recorded = self.courses[problem, row], None if belief is Belief.VERIFY else event["config"]
            if not course.may_ask:
                raise _drifted(event, "nothing more of this study")
            asked, method = course.ask(uid, recorded, belief is Belief.TRUST), course.method.name
            if belief is Belief.TRUST:
                asked = replace(asked, settings=event["config"])
        if (asked.uid, asked.settings) != (uid, event["config"]):
            raise _drifted(event, f"{asked.uid} with {asked.settings}")
        self._open[uid] = self._assignment(problem, row, method, asked)

    def _take(self, report: Report) -> Verdict:
        if report.status is Status.FAILED or report.score is None:
            self._lose(report.uid, report.reason or "no reason given", report)
            return Verdict.STOP
        self._last[report.uid] = report
        self._failures.pop(report.uid, None)  # it came further
        assignment = self._open[report.uid]
        if assignment.stage is Stage.UNIT:
            verdict = Verdict.STOP if report.status is Status.COMPLETE else Verdict.CONTINUE
            if verdict is Verdict.STOP:
                self._set_unit(assignment.problem.label, report.flops)
        else:
            verdict = self._course(assignment).take(assignment.stage, report)
        if verdict is Verdict.STOP:
            self._close(report.uid, self._status(assignment), None)
        for course in self._concerned(assignment):
            self._note_sampling(course)
        return verdict

    def _lose(self, uid: str, reason: str, report: Report | None = None) -> None:
        """A failed trial costs what it has cost, the slice that failed included."""
        assignment = self._open[uid]
        if report is not None and report.metrics:
            self._last[uid] = report
        if assignment.stage is Stage.UNIT:
            for (problem, _), course in self.courses.items():
                if problem == assignment.problem.label:
                    course.fail(f"the plain training that measures the budget failed: {reason}")
        else:
            self._course(assignment).lose(uid, assignment.stage, reason, report)
        self._close(uid, Status.FAILED, reason)

    def _set_unit(self, problem: str, flops: int) -> None:
        for (label, _), course in self.courses.items():
            if label == problem:
                course.set_unit(flops)

    def _concerned(self, assignment: Assignment) -> list[Course]:
        """The study of a trial; of a budget unit all studies of its problem, which it begins or, failing, ends."""
        if assignment.stage is not Stage.UNIT:
            return [self._course(assignment)]
        return [course for course in self.courses.values() if course.problem == assignment.problem.label]

    def _course(self, assignment: Assignment) -> Course:
        return self.courses[assignment.problem.label, assignment.row]

    def _status(self, assignment: Assignment) -> Status:
        """How a trial that stopped in order ended."""
        if assignment.stage is not Stage.TUNE:
            return Status.COMPLETE
        tuning = self._course(assignment).tuning
        assert tuning is not None
        return tuning.trials[assignment.uid].status

    def _close(self, uid: str, status: Status, reason: str | None) -> None:
        assignment, last = self._open.pop(uid), self._last.pop(uid, None)
        self._failures.pop(uid, None)
        if uid in self._restart:
            self._restart.remove(uid)
        fields: dict[str, Any] = {"status": str(status), "reason": reason, "metrics": {}, "ledger": None}
        if last is not None:
            fields |= {"metrics": last.metrics, "ledger": last.ledger}
        self._derived.append(("ended", uid, fields))
        for course in self._concerned(assignment):
            self._note_stage(course)

    def _note_sampling(self, course: Course) -> None:
        """What a person should know about how a study is sampled; each note once."""
        for key, text in ({} if course.tuning is None else course.tuning.notes()).items():
            uid = f"{course.problem}/{course.method.key}/{key}"
            if ("warning", uid) not in self._written:
                self._derived.append(("warning", uid, {"text": text}))

    def _note_stage(self, course: Course) -> None:
        """A study that entered a new stage has done the one before."""
        done = {Stand.CONFIRM: [Stand.TUNE], Stand.DONE: [Stand.CONFIRM], Stand.FAILED: [Stand.FAILED]}
        for stage in done.get(course.stand, []):
            uid = f"{course.problem}/{course.method.key}/{stage}"
            fields = {
                "problem": course.problem, "method": course.method.key, "stage": str(stage),
                "reason": course.reason, "summary": summary(course),
                "limit": None if course.tuning is None else course.tuning.closed,
            }
            self._derived.append(("stage_done", uid, fields))


def _drifted(event: Event, instead: str) -> DriftError:
    return DriftError(
        "the decisions in a sweep's journal must follow from what was reported",
        f"the journal asked {event['uid']} with {event['config']}, but this version of the code asks {instead}",
        "go on with the version that began the sweep, or a damaged journal's copy",
    )


def summary(course: Course) -> dict[str, float]:
    """What a study has used and reached: flat numbers."""
    if course.tuning is None or course.unit_flops is None:
        return {}
    best = course.tuning.best
    statuses = [trial.status for trial in course.tuning.trials.values()]
    numbers = {
        "tune/trials": len(statuses),
        "tune/budget_multiples": course.tuning.spent_flops / course.unit_flops,
        "tune/flops": course.tuning.spent_flops,
        "unit/flops": course.unit_flops,
        "full_horizon/flops": course.tuning.full_flops,
        **{f"tune/{status}": statuses.count(status) for status in Status if status is not Status.RUNNING},
    }
    if best is not None and best.score is not None:
        numbers |= {"tune/best_score": best.score, "tune/best_index": best.index}
    if front := course.tuning.front():
        numbers["tune/front_trials"] = len(front)
        for place, trial in enumerate(front):  # cheapest first; the last one is confirmed
            numbers |= {f"tune/front/{place}/score": trial.score or 0.0, f"tune/front/{place}/flops": trial.flops}
    return {name: float(value) for name, value in numbers.items()}

"""Decides what runs next and what a report leads to; a fold over the journal's events.

A few kinds of event change the state: `asked`, `result`, `retry`, `lost`, and for artefacts from elsewhere `artefact`
and `artefact_gone`. All others (`ended`, `stage_done`, ...) follow from them and are written for readers. So a resumed
sweep feeds the journal through the same code that ran live, and stands where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.asking import Asking, Belief, DriftError
from search.consequences import Consequences, Emit
from search.course import Course
from search.jobs import Jobs, asked_fields
from search.open_trials import OpenTrials
from search.plan import unit_failed
from search.preparation import Preparation
from search.study import Comparison
from search.tuning import Verdict
from search.wanted import Wanted
from tracking.journal import Event
from tracking.record import Cause, Stage, Status
from tracking.storage import Place
from trainables.artefact_store import Manifest
from trainables.assignment import Assigned, Assignment, Making, Report

__all__ = ["Belief", "Director", "DriftError", "Emit"]


class Director:
    """The whole sweep: prepare, then tune and confirm of every study.

    Args:
        comparison: what is to be found out.
        place: of the sweep; checkpoints go below it.
        cache: data, once per node; None lets every node decide where.
        emit: writes an event to the journal and shows it to the observers.
        warm: observations of earlier sweeps, per "PROBLEM/METHOD", as the first event holds them.
        wanted: the artefacts, as the first event holds them.
        data: label of a problem -> the fingerprint that its data must have.
    """

    def __init__(
        self, comparison: Comparison, place: Place, cache: Path | None, emit: Emit,
        warm: Mapping[str, Sequence[Mapping[str, Any]]] | None = None, wanted: Wanted | None = None,
        data: Mapping[str, str] | None = None,
    ) -> None:
        self.comparison = comparison
        self.courses = {
            (problem.label, method.key): Course(
                comparison, problem.label, method, (warm or {}).get(f"{problem.label}/{method.key}", ())
            )
            for problem in comparison.problems
            for method in comparison.methods
        }
        self.preparation = Preparation((p.label for p in comparison.problems), self.courses, wanted or Wanted())
        jobs = Jobs(comparison, place, cache, wanted or Wanted(), data)
        self._asking = Asking(self.courses, self.preparation, jobs)
        self._open = OpenTrials(comparison.retries)
        self._consequences = Consequences(emit)
        self._emit = emit

    @property
    def finished(self) -> bool:
        settled = self.preparation.settled and all(course.settled for course in self.courses.values())
        return settled and not len(self._open)

    @property
    def restarts(self) -> bool:
        """Whether trials that were asked already wait for a worker."""
        return self._open.waiting

    def next(self) -> Assigned | None:
        """What to start now; None while everything that could start waits for a running trial."""
        again = self._open.again()
        if again is not None:
            return again
        job = self._asking.next()
        if job is not None:
            self._emit("asked", **asked_fields(job))
            self._open.add(job)
        return job

    def report(self, report: Report) -> Verdict:
        """Journal one report and decide. A report that a crash made a worker repeat moves nothing."""
        if not self._open.running(report.uid):
            return Verdict.STOP  # a late word from a trial that has ended, or that another worker will go on with
        if report.note is not None:
            self._emit("warning", text=f"{report.uid}: {report.note}")
        if report.status is Status.FAILED:
            cause, reason = report.cause or Cause.RAISED, report.reason or "no reason given"
            if self._start_again(report.uid, cause, reason, report.metrics):
                return Verdict.STOP
        elif (known := self._open.known(report.uid)) != report.index:
            return self._out_of_turn(report, known)
        self._emit("result", **self._result_fields(report))
        verdict = self._take(report)
        self.settle()
        return verdict

    def lost(self, uid: str, cause: Cause, reason: str) -> None:
        """A trial's worker went without a word of its own."""
        if not self._open.running(uid) or self._start_again(uid, cause, reason, {}):
            return
        self._emit("lost", uid=uid, cause=str(cause), reason=reason)
        self._lose(uid, reason)
        self.settle()

    def supply(self, manifest: Manifest, place: Place) -> None:
        """A good artefact is in the store already: nobody has to make it, and it costs what its making has cost."""
        told = {"sha256": manifest.sha256, "size": manifest.size, "ledger": manifest.ledger}
        self._emit("artefact", **self.preparation.described(manifest.key, place), **told, cached=True)
        self.preparation.provide(manifest.key)

    def withdraw(self, key: str, reason: str) -> None:
        """An artefact that was there is gone: it is made again."""
        self._emit("artefact_gone", key=key, reason=reason)
        self.preparation.withdraw(key)

    def replay(self, events: list[Event], belief: Belief = Belief.RESUME) -> None:
        """Take in a journal; trials that were under way are started again before anything new.

        Raises:
            DriftError: a proposal differs from the recorded one.
        """
        for event in events:
            match event["kind"]:
                case "asked":
                    self._open.add(self._asking.recorded(event, belief))
                case "result":
                    self._take(Report.model_validate({n: event[n] for n in Report.model_fields if n in event}))
                case "retry":
                    self._open.failed(event["uid"], Cause(event["cause"]))
                case "lost":
                    self._lose(event["uid"], event["reason"])
                case "artefact" if event["cached"]:
                    self.preparation.provide(event["key"])
                case "artefact_gone":
                    self.preparation.withdraw(event["key"])
                case _:
                    self._consequences.wrote(event)
        self._open.restart_all()

    def settle(self) -> None:
        """Write the events that follow from what happened and are not in the journal yet."""
        self._consequences.settle()

    def _result_fields(self, report: Report) -> dict[str, Any]:
        """Of the `result` event; `values` is what the sampler is told of a whole trial."""
        exclude = {name for name in ("artefact", "hardware") if getattr(report, name) is None}
        two = self.comparison.sampler.two_objectives
        values = [report.score, float(report.flops)] if two else [report.score]
        return {**report.model_dump(mode="json", exclude=exclude), "values": values}

    def _out_of_turn(self, report: Report, known: int) -> Verdict:
        """A report that is known already costs and says nothing new; one that leaves a gap cannot be believed."""
        if report.index < known:
            self._emit("repeated", uid=report.uid, index=report.index, metrics=_spent(report.metrics))
            return Verdict.CONTINUE
        self.lost(report.uid, Cause.DIED, f"report {report.index} came, but the journal holds {known}")
        return Verdict.STOP

    def _start_again(self, uid: str, cause: Cause, reason: str, metrics: Mapping[str, float]) -> bool:
        """Queue a failed trial once more, as far as the retries allow."""
        attempt = self._open.attempt(uid, cause)
        if attempt is None:
            return False
        self._emit(
            "retry", uid=uid, cause=str(cause), reason=reason, attempt=attempt, index=self._open.known(uid),
            metrics=_spent(metrics),
        )
        self._open.failed(uid, cause)
        self._open.restart(uid)
        return True

    def _take(self, report: Report) -> Verdict:
        job = self._open[report.uid]
        if report.status is Status.FAILED or (report.score is None and isinstance(job, Assignment)):
            self._lose(report.uid, report.reason or "no reason given", report)
            return Verdict.STOP
        self._open.hear(report)
        verdict = Verdict.STOP if report.status is Status.COMPLETE else Verdict.CONTINUE
        if isinstance(job, Making):
            if verdict is Verdict.STOP:
                self._made(job, report)
        elif job.stage is not Stage.UNIT:
            verdict = self._course(job).take(job.stage, report)
        elif verdict is Verdict.STOP:
            for course in self.preparation.of_problem(job.problem.label):
                course.set_unit(report.flops)
        if verdict is Verdict.STOP:
            self._close(report.uid, self._status(job), None)
        self._consequences.of_sampling(self._concerned(job))
        return verdict

    def _made(self, job: Making, report: Report) -> None:
        """An artefact is in the store."""
        assert report.artefact is not None, "the last report of a making says what was kept"
        told = self.preparation.described(job.key, Place.of(job.store) / job.key) | report.artefact
        self._consequences.add("artefact", job.uid, {**told, "cached": False})
        self.preparation.provide(job.key)

    def _lose(self, uid: str, reason: str, report: Report | None = None) -> None:
        """A failed trial costs what it has cost, the slice that failed included."""
        job = self._open[uid]
        if report is not None and report.metrics:
            self._open.hear_last(report)
        if isinstance(job, Making):
            self.preparation.fail(job.key, reason)
        elif job.stage is Stage.UNIT:
            for course in self.preparation.of_problem(job.problem.label):
                course.fail(unit_failed(reason))
        else:
            self._course(job).lose(uid, job.stage, reason, report)
        self._close(uid, Status.FAILED, reason)

    def _concerned(self, job: Assigned) -> list[Course]:
        """The study of a trial; of what studies share, all those that it begins or, failing, ends."""
        if isinstance(job, Making):
            return self.preparation.users(job.key)
        if job.stage is Stage.UNIT:
            return self.preparation.of_problem(job.problem.label)
        return [self._course(job)]

    def _course(self, job: Assignment) -> Course:
        return self.courses[job.problem.label, job.row]

    def _status(self, job: Assigned) -> Status:
        """How a trial that stopped in order ended."""
        if isinstance(job, Making) or job.stage is not Stage.TUNE:
            return Status.COMPLETE
        tuning = self._course(job).tuning
        assert tuning is not None
        return tuning.trials[job.uid].status

    def _close(self, uid: str, status: Status, reason: str | None) -> None:
        job, last = self._open.close(uid)
        self._consequences.ended(uid, status, reason, last)
        self._consequences.of_stage(self._concerned(job))


def _spent(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith(("cost/", "evaluation/"))}

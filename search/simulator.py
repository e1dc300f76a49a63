"""A discrete-event cluster: a real director, and workers, seconds and a driver that only exist on paper.

The director is driven as Ray's routing drives it (routing.py): as many trials in flight as there are slots, and one
that waits; assignments and reports travel as JSON. Sampler, halving and whatever the director's events go to are real.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from search.director import Director
from search.tuning import Verdict
from tracking.record import Stage
from trainables.assignment import Assigned, Report, read_job


@dataclass(frozen=True, slots=True)
class Work:
    """One slice of a simulated trial.

    Args:
        seconds: how long its worker takes for it.
        report: what it then says.
    """

    seconds: float
    report: Report


class Workload(Protocol):
    """What trials do; a function of its arguments alone, so that a simulation can be repeated."""

    def __call__(self, assignment: Assigned, index: int) -> Work: ...


@dataclass(frozen=True, slots=True)
class Delays:
    """What a cluster adds to the work of its trials, in seconds.

    Args:
        start: a worker prepares a trial for this long.
        message: the driver, which does one thing at a time, takes this long for an ask or a report; its worker waits.
    """

    start: float = 0.0
    message: float = 0.0


@dataclass(slots=True)
class Timed:
    """What one trial took of this process's real time, with everything that hangs on its events.

    Args:
        known: trials that had ended when it was asked.
        reports: how many there were.
        cpu_seconds: of the ask and all reports; the others, which are elapsed time, also wait for disks.
    """

    uid: str
    stage: Stage
    known: int
    ask_seconds: float
    report_seconds: float = 0.0
    reports: int = 0
    cpu_seconds: float = 0.0

    @property
    def decision_seconds(self) -> float:
        """The ask and all reports."""
        return self.ask_seconds + self.report_seconds


@dataclass
class Outcome:
    """What a simulation found.

    Args:
        makespan: simulated seconds until the last trial ended.
        work: simulated seconds that workers spent on slices, summed.
        trials: in the order in which they were asked.
    """

    slots: int
    makespan: float = 0.0
    work: float = 0.0
    trials: list[Timed] = field(default_factory=list)

    @property
    def efficiency(self) -> float:
        """Work over what the slots could have done in that time; 1 is perfect."""
        return self.work / (self.slots * self.makespan) if self.makespan > 0 else 0.0


@dataclass(slots=True)
class _Flight:
    assignment: Assigned
    timed: Timed
    index: int


class Simulator:
    """Runs a director's trials on so many simulated slots.

    Args:
        director: fresh, or one that has replayed a journal.
        slots: trials at a time, at least 1.
        workload: what the trials do.
        watch: the clock that times decisions.
    """

    def __init__(
        self, director: Director, slots: int, workload: Workload, delays: Delays | None = None,
        watch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.now = 0.0  # simulated seconds
        self.outcome = Outcome(slots)
        self._director, self._workload, self._watch = director, workload, watch
        self._delays = delays or Delays()
        self._driver_free = 0.0
        self._waiting: deque[_Flight] = deque()
        self._running: list[tuple[float, int, _Flight, Report]] = []  # by the time of their next report
        self._order = self._ended = 0

    def run(self, enough: Callable[[Outcome], bool] = lambda outcome: False) -> Outcome:
        """Until the director has nothing left, or `enough` says so after a report.

        Raises:
            RuntimeError: the director waits for a trial that is not in flight.
        """
        self._fill()
        while self._running and not enough(self.outcome):
            self.now, _, flight, report = heapq.heappop(self._running)
            self._handle(flight, report)
            self._fill()
        if not self._running and not self._director.finished:
            raise RuntimeError("the director is not finished, but starts nothing and waits for nothing")
        self.outcome.makespan = self.now
        return self.outcome

    def _fill(self) -> None:
        """As the router: ask while no more are in flight than there are slots."""
        self._start()
        while len(self._running) + len(self._waiting) <= self.outcome.slots:
            began, cpu = self._watch(), time.thread_time()
            assignment = None if self._director.finished else self._director.next()
            if assignment is None:
                break
            assignment = read_job(assignment.model_dump_json())
            seconds, cpu = self._watch() - began, time.thread_time() - cpu
            timed = Timed(assignment.uid, assignment.stage, self._ended, seconds, cpu_seconds=cpu)
            self.outcome.trials.append(timed)
            self._driver()
            self._waiting.append(_Flight(assignment, timed, assignment.known))
            self._start()

    def _start(self) -> None:
        """Free slots take what waits."""
        while self._waiting and len(self._running) < self.outcome.slots:
            self._slice(self._waiting.popleft(), self._delays.start)

    def _handle(self, flight: _Flight, report: Report) -> None:
        text = report.model_dump_json()
        began, cpu = self._watch(), time.thread_time()
        verdict = self._director.report(Report.model_validate_json(text))
        flight.timed.report_seconds += self._watch() - began
        flight.timed.cpu_seconds += time.thread_time() - cpu
        flight.timed.reports += 1
        flight.index += 1
        self._driver()
        if verdict is Verdict.CONTINUE:
            self._slice(flight, 0.0)
        else:
            self._ended += 1

    def _slice(self, flight: _Flight, delay: float) -> None:
        """A worker begins once the driver has spoken."""
        work = self._workload(flight.assignment, flight.index)
        self.outcome.work += work.seconds
        self._order += 1
        due = max(self.now, self._driver_free) + delay + work.seconds
        heapq.heappush(self._running, (due, self._order, flight, work.report))

    def _driver(self) -> None:
        """The driver's own time for one message, after all messages before it."""
        self._driver_free = max(self.now, self._driver_free) + self._delays.message

"""The multiplexers: one Ray searcher and one Ray scheduler that only route to the director.

Everything that Ray calls is guarded: an exception in a searcher or scheduler would abort the sweep in the middle.
The first error ends the sweep in order and is raised afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search import slots as room
from search.deaths import taken_as_deaths
from search.director import Director
from search.flights import Flights
from search.tuning import Verdict
from tracking.record import Status
from trainables.assignment import Report

P = ParamSpec("P")
T = TypeVar("T")
FINISHED, STOP, CONTINUE = str(Searcher.FINISHED), str(TrialScheduler.STOP), str(TrialScheduler.CONTINUE)
_ACTIONS = {Verdict.CONTINUE: CONTINUE, Verdict.STOP: STOP}


class Guard:
    """Runs callback bodies and keeps the first error instead of letting it out."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.stopping = False  # Ray is taking the sweep down: what it still says about trials is not news

    def __call__(self, body: Callable[P, T], otherwise: T, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.error is not None or self.stopping:
            return otherwise
        try:
            return body(*args, **kwargs)
        except Exception as error:
            self.error = self.error or error
            return otherwise


class Router(Searcher):  # type: ignore[misc]  # Ray's classes carry no types
    """Asks the director for the next trial while fewer are in flight than there are slots, and one more.

    The one more waits, so that a worker that ends a trial can be used again at once.

    Args:
        may_ask: whether the sweep's limits allow another trial.
    """

    def __init__(
        self, director: Director, flights: Flights, slots: room.Slots, guard: Guard, may_ask: Callable[[], bool]
    ) -> None:
        super().__init__(metric="val/score", mode="max")
        self._director, self._flights, self._slots, self._guard = director, flights, slots, guard
        self._may_ask = may_ask

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore that we never do; the journal is the state

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._guard(self._suggest, FINISHED, trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        ended = self._flights.end(trial_id)
        if error and ended is not None:
            self._guard(self._director.lost, None, *ended)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The scheduler has seen it already."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a sweep goes on by its journal, not by Tuner.restore")

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._director.finished:
            return FINISHED
        if self._flights.landing:
            return None
        if len(self._flights) > self._slots.now() or not (self._director.restarts or self._may_ask()):
            return None
        assignment = self._director.next()
        if assignment is None:
            return None
        self._flights.begin(trial_id, assignment.uid)
        return {
            "uid": assignment.uid, "known": assignment.known, "hang_seconds": assignment.protocol.hang_seconds,
            "assignment": assignment.model_dump_json(),
        }


class Gate(FIFOScheduler):  # type: ignore[misc]
    """Hands every result to the director and does what it says."""

    def __init__(self, director: Director, flights: Flights, slots: room.Slots, guard: Guard) -> None:
        super().__init__()
        self._director, self._flights, self._slots, self._guard = director, flights, slots, guard

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._guard(room.keep_workers, None, tune_controller, trial, self._slots)
        self._guard(taken_as_deaths, None, tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._guard(self._decide, STOP, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._guard(self._last_word, None, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The worker died; the searcher hears it next, and tells the director why."""
        self._guard(self._flights.died, None, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing: Ray removes pending trials only when the whole sweep stops, and a resume starts them again."""

    def debug_string(self) -> str:
        return "routes to one ASHA per study"

    def _last_word(self, trial: Trial, result: dict[str, Any]) -> None:
        """A result that says `done` comes here only; one that led to a stop comes again, and has been judged."""
        if "report" in result and Report.model_validate_json(result["report"]).status is not Status.RUNNING:
            self._decide(trial, result)

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        if "report" not in result:
            return CONTINUE
        if not self._flights.hear(trial):
            return STOP
        action = _ACTIONS[self._director.report(Report.model_validate_json(result["report"]))]
        return STOP if self._flights.landing else action

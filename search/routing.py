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

from search.director import Director
from search.tuning import Verdict
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
            self.error = error
            return otherwise


class Router(Searcher):  # type: ignore[misc]  # Ray's classes carry no types
    """Asks the director for the next trial while fewer than `limit` are in flight."""

    def __init__(self, director: Director, limit: int, guard: Guard) -> None:
        super().__init__(metric="val/score", mode="max")
        self._director, self._limit, self._guard = director, limit, guard
        self._in_flight: dict[str, str] = {}  # Ray's trial id -> our uid

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore that we never do; the journal is the state

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._guard(self._suggest, FINISHED, trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        uid = self._in_flight.pop(trial_id, None)
        if error and uid is not None:  # said once a worker's retries are used up; every death goes to the scheduler
            self._guard(self._director.lost, None, uid, "the worker died more often than it may")

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The scheduler has seen it already."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a sweep goes on by its journal, not by Tuner.restore")

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._director.finished:
            return FINISHED
        if len(self._in_flight) >= self._limit:
            return None
        assignment = self._director.next()
        if assignment is None:
            return None
        self._in_flight[trial_id] = assignment.uid
        return {"uid": assignment.uid, "assignment": assignment.model_dump_json()}


class Gate(FIFOScheduler):  # type: ignore[misc]
    """Hands every result to the director and does what it says.

    Args:
        slots: how many workers to keep. Ray by itself keeps one idle worker, kills the others, and lets a running one
            take the trial that a new one is being started for: with short trials a sweep ends up on one worker.
    """

    def __init__(self, director: Director, guard: Guard, slots: int = 1) -> None:
        super().__init__()
        self._director, self._guard, self._slots = director, guard, slots
        self._keeping = False

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._guard(self._decide, STOP, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._keep_workers(tune_controller, trial)
        # A result that says `done` comes here and not to `on_trial_result`; a trial that the director stopped
        # comes here too, with the result it has judged: it is closed, so nothing happens twice.
        self._guard(self._decide, STOP, result)

    def _keep_workers(self, tune_controller: Any, trial: Trial) -> None:
        """Raise the number of idle workers that Ray keeps: no public setting does; without it only speed is lost."""
        cache = getattr(tune_controller, "_actor_cache", None)
        if cache is not None and not self._keeping:
            self._keeping = True
            cache.increase_max(trial.placement_group_factory, by=self._slots)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing: Ray says this at every death, also when it starts the trial again."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing: Ray removes pending trials only when the whole sweep stops, and a resume starts them again."""

    def debug_string(self) -> str:
        return "routes to one ASHA per study"

    def _decide(self, result: dict[str, Any]) -> str:
        if "report" not in result:
            return CONTINUE
        return _ACTIONS[self._director.report(Report.model_validate_json(result["report"]))]

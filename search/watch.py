"""Watches a sweep from inside of Tune's loop: workers that fell silent, and reasons to stop in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from search.flights import Flights
from search.routing import Guard

LOOK_SECONDS = 1.0


class Watch(tune.Callback):  # type: ignore[misc]  # Ray's classes carry no types
    """Tells the flights when a trial has a worker, and ends workers that have been silent for too long."""

    def __init__(self, flights: Flights, guard: Guard, clock: Callable[[], float] = time.monotonic) -> None:
        self._flights, self._guard, self._clock = flights, guard, clock
        self._looked = clock()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore that we never do; the journal is the state

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._flights.hear(trial)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._clock() - self._looked > LOOK_SECONDS:
            self._looked = self._clock()
            self._guard(self._flights.kill_silent, None)


class Stop(tune.Stopper):  # type: ignore[misc]
    """Stops the whole experiment in order, workers keeping their state, as soon as there is a reason.

    Args:
        wanted: whether there is one; asked at every turn of Tune's loop.
    """

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._wanted()

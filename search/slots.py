"""How many workers there can be, and keeping them: nodes come and go, and Ray by itself lets workers go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ray.tune.experiment import Trial

POLL_SECONDS = 2.0


class Slots:
    """The number of trials that fit, asked again every few seconds: nodes join and leave.

    Args:
        count: asks the cluster.
        clock: monotonic seconds.
        look: what a person should know about nodes that joined; asked at the same times.
    """

    def __init__(
        self, count: Callable[[], int], clock: Callable[[], float] = time.monotonic,
        look: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._count, self._clock, self._look = count, clock, look
        self._known, self._asked = count(), clock()
        self._news: list[str] = []

    def now(self) -> int:
        if self._clock() - self._asked > POLL_SECONDS:
            self._known, self._asked = self._count(), self._clock()
            self._news += self._look()
        return self._known

    def news(self) -> list[str]:
        """What a person should know, once."""
        news, self._news = self._news, []
        return news


def keep_workers(controller: Any, trial: Trial, slots: Slots) -> None:
    """Make Tune's controller keep as many idle workers as there are slots, and let new ones come up.

    Ray keeps one idle worker, kills the others, and hands the trial that a new worker is just starting for to
    whichever worker ends one first, killing the new one: with short trials a sweep ends up on one worker, and a
    worker that died never comes back. No public setting changes that. Where Ray's internals differ, nothing happens:
    only speed is lost.
    """
    controller = inner(controller)
    kept = getattr(controller, "_invsearch_keeps", None)
    if kept is None:
        if not all(hasattr(controller, name) for name in _NEEDED):
            return
        kept = controller._invsearch_keeps = 0
        _let_workers_start(controller)
    if slots.now() > kept:
        controller._actor_cache.increase_max(trial.placement_group_factory, by=slots.now() - kept)
        controller._invsearch_keeps = slots.now()


def inner(controller: Any) -> Any:
    """Tune's controller itself: schedulers mostly get to see a wrapper."""
    return vars(controller).get("_tune_controller", controller)


_NEEDED = ("_actor_cache", "_actor_manager", "_maybe_reuse_cached_actor", "_started_actors", "_trial_to_actor")


def _let_workers_start(controller: Any) -> None:
    reuse = controller._maybe_reuse_cached_actor

    def reuse_unless_starting(trial: Trial) -> bool:
        """A worker that only waits for room may be replaced: the room is what an idle one holds."""
        worker = controller._trial_to_actor.get(trial)
        coming = worker is not None and controller._actor_manager.is_actor_started(worker)  # it has its resources
        if coming and worker not in controller._started_actors:
            return False
        return bool(reuse(trial))

    controller._maybe_reuse_cached_actor = reuse_unless_starting

"""Every way in which Ray loses a worker is a death to Tune: of the trial that it carried, and of nothing else."""

from __future__ import annotations

from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError

from search.slots import inner


def taken_as_deaths(controller: Any) -> None:
    """Make Tune's controller take all errors of Ray's own for the death of the worker that they came from.

    What Ray kills for memory fails with an error of its own kind, OutOfMemoryError. Tune (2.60) knows dead actors
    (RayActorError) and raised exceptions (RayTaskError), and raises out of its loop at anything else: the whole sweep
    would end with the trial. No setting changes that. Where Ray's internals differ, nothing happens.
    """
    manager = getattr(inner(controller), "_actor_manager", None)
    failed = getattr(manager, "_actor_task_failed", None)
    if manager is None or failed is None or "_actor_task_failed" in vars(manager):  # set here before
        return

    def task_failed(tracked_actor_task: Any, exception: Exception) -> None:
        known = not isinstance(exception, RayError) or isinstance(exception, RayActorError | RayTaskError)
        failed(tracked_actor_task, exception if known else RayActorError(error_msg=str(exception)))

    manager._actor_task_failed = task_failed

"""What Ray kills for memory dies to Tune like any other worker; on Tune's own manager of actors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from search.deaths import taken_as_deaths

SAID = "1 worker(s) were killed due to the node running low on memory."


class Heard:
    """A manager with one actor that has a task, and what it says of them."""

    def __init__(self) -> None:
        self.of_actor: list[Exception] = []
        self.of_task: list[Exception] = []
        self.manager = RayActorManager(resource_manager=SimpleNamespace(free_resources=lambda acquired_resource: None))
        actor = TrackedActor(1, on_error=lambda actor, error: self.of_actor.append(error))
        self.manager._live_actors_to_ray_actors_resources[actor] = None, None
        self.task = TrackedActorTask(actor, on_error=lambda actor, error: self.of_task.append(error))
        self.controller = SimpleNamespace(_actor_manager=self.manager)

    def fail(self, error: Exception) -> None:
        self.manager._actor_task_failed(tracked_actor_task=self.task, exception=error)


def test_a_kill_for_memory_ends_the_worker_and_says_why() -> None:
    heard = Heard()
    taken_as_deaths(SimpleNamespace(_tune_controller=heard.controller))  # as a scheduler gets to see it
    heard.fail(OutOfMemoryError(SAID))
    ((of_actor,), (of_task,)) = heard.of_actor, heard.of_task
    assert of_actor is of_task and isinstance(of_task, RayActorError) and str(of_task) == SAID
    assert not heard.manager.live_actors


def test_tune_alone_ends_everything_by_it() -> None:
    """The control; where it fails, Ray has mended this, and `search/deaths.py` may go."""
    heard = Heard()
    with pytest.raises(RuntimeError, match="unexpected exception"):
        heard.fail(OutOfMemoryError(SAID))
    assert not heard.of_actor and not heard.of_task


def test_what_tune_knows_stays_as_it_is() -> None:
    for error in (RayActorError(error_msg="gone"), RayTaskError("step", "trace", ValueError("no"))):
        heard = Heard()
        taken_as_deaths(heard.controller)
        heard.fail(error)
        assert heard.of_task == [error]
        assert heard.of_actor == ([error] if isinstance(error, RayActorError) else [])
    heard = Heard()
    taken_as_deaths(heard.controller)
    with pytest.raises(RuntimeError, match="unexpected exception"):  # an error of Tune's or ours is no death
        heard.fail(KeyError("ours"))


def test_it_is_set_once_and_other_internals_are_left_alone() -> None:
    heard = Heard()
    taken_as_deaths(heard.controller)
    first: Any = vars(heard.manager)["_actor_task_failed"]
    taken_as_deaths(heard.controller)
    assert vars(heard.manager)["_actor_task_failed"] is first
    other = SimpleNamespace(_actor_manager=SimpleNamespace())
    taken_as_deaths(other)
    assert not vars(other._actor_manager)
    taken_as_deaths(SimpleNamespace())

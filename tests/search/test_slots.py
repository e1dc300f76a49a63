"""Slots follow the cluster; Tune's controller keeps that many workers and lets new ones come up."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from search.slots import POLL_SECONDS, Slots, keep_workers

TRIAL = SimpleNamespace(placement_group_factory="one cpu")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Controller:
    """What of Tune's controller is touched."""

    def __init__(self) -> None:
        self.kept: Counter[str] = Counter()
        self.reused: list[str] = []
        self._actor_cache = SimpleNamespace(increase_max=lambda key, by: self.kept.update({key: by}))
        self._with_resources: set[str] = set()
        self._actor_manager = SimpleNamespace(is_actor_started=self._with_resources.__contains__)
        self._started_actors: set[str] = set()
        self._trial_to_actor: dict[str, str] = {}

    def _maybe_reuse_cached_actor(self, trial: str) -> bool:
        self.reused.append(trial)
        return True


def test_the_cluster_is_asked_now_and_then() -> None:
    answers, clock = [2, 4, 3], Clock()
    slots = Slots(lambda: answers.pop(0), clock)
    assert [slots.now(), slots.now()] == [2, 2]
    clock.now += POLL_SECONDS + 0.1
    assert [slots.now(), slots.now()] == [4, 4]
    clock.now += POLL_SECONDS + 0.1
    assert slots.now() == 3


def test_news_of_nodes_that_joined_is_told_once() -> None:
    said, clock = [["one"], [], ["two", "three"]], Clock()
    slots = Slots(lambda: 2, clock, lambda: said.pop(0))
    assert slots.news() == [] and len(said) == 3  # nobody looks before it is time
    for expected in (["one"], [], ["two", "three"]):
        clock.now += POLL_SECONDS + 0.1
        slots.now(), slots.now()
        assert [slots.news(), slots.news()] == [expected, []]


def test_as_many_idle_workers_are_kept_as_there_are_slots() -> None:
    answers, clock, controller = [2, 2, 5, 1], Clock(), Controller()
    slots = Slots(lambda: answers.pop(0), clock)
    for _ in range(4):
        keep_workers(controller, TRIAL, slots)
        clock.now += POLL_SECONDS + 0.1
    assert controller.kept == {"one cpu": 5}  # raised by what is new, once; never lowered


def test_a_worker_that_comes_up_keeps_its_trial() -> None:
    """One that only waits for room may be replaced: the room is what the idle worker holds."""
    controller: Any = Controller()
    keep_workers(controller, TRIAL, Slots(lambda: 2))
    controller._trial_to_actor = {"coming": "a", "up": "b", "no room": "c"}
    controller._with_resources |= {"a", "b"}
    controller._started_actors.add("b")
    taken = {name: controller._maybe_reuse_cached_actor(name) for name in ("coming", "up", "no room", "no worker")}
    assert taken == {"coming": False, "up": True, "no room": True, "no worker": True}
    assert controller.reused == ["up", "no room", "no worker"]


def test_other_internals_are_left_alone() -> None:
    other = SimpleNamespace(_actor_cache=object())
    keep_workers(other, TRIAL, Slots(lambda: 2))
    assert vars(other).keys() == {"_actor_cache"}

"""A sweep and the processes around it: carries out a plan of kills and answers each as a user would."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import victims
from tests.chaos.plan import Kill, Victim
from tests.chaos.raylets import Raylets
from tests.chaos.victims import Driver

BACK_SECONDS = 30.0  # a slot is back by then
START_SECONDS = 120.0  # from a driver's start to work in all slots; no promise is about it, but it must not be stuck
END_SECONDS = 240.0  # from the last kill to the sweep's end, on a slow machine


@dataclass
class Scene:
    """One sweep under attack.

    Args:
        place: folder of the sweep.
        fields: of its comparison.
        slots: trials at once.
        raylets: the cluster to use; None lets every driver start Ray for itself.
        done: kills that were carried out.
        back: for each killed worker, raylet and node, seconds until all slots were at work again.
        waited: seconds that each such kill waited until all slots were at work for the first time.
    """

    place: Path
    fields: Mapping[str, Any]
    slots: int
    pace: float
    raylets: Raylets | None = None
    mlflow: str | None = None
    done: list[Kill] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    _orphans: set[int] = field(default_factory=set)  # of killed drivers: in a cluster they live on for a while

    def run(self, kills: Sequence[Kill]) -> int:
        """Launch, carry out the kills, and see the sweep through; the last driver's exit code."""
        driver = self._driver()
        try:
            for kill in kills:
                if not victims.wait_for_results(self.place, kill.after, driver):
                    raise AssertionError(f"{ended(driver)} before {kill}")
                driver = self._carry_out(kill, driver)
                self.done.append(kill)
            return driver.wait(END_SECONDS)
        finally:
            driver.kill()

    def _driver(self) -> Driver:
        if self.raylets is None:
            return Driver(self.place, self.fields, self.pace, cpus=self.slots, mlflow=self.mlflow)
        return Driver(self.place, self.fields, self.pace, address=self.raylets.address, mlflow=self.mlflow)

    def _carry_out(self, kill: Kill, driver: Driver) -> Driver:
        """The driver that is in charge afterwards."""
        if kill.victim is Victim.DRIVER:
            self._orphans |= set(victims.workers(self.place))
            driver.kill()
            return self._driver()  # at once, as long as orphans are still at work
        began = time.monotonic()
        before = self._workers(self.slots, driver, START_SECONDS)  # a driver may have begun just now
        self.waited.append(time.monotonic() - began)
        began = time.monotonic()
        if kill.victim is Victim.WORKER:
            victims.kill(kill.of(before))
        else:
            assert self.raylets is not None
            self.raylets.kill(kill)
            self.raylets.replace()
        self._until_one_is_gone(before)
        self._workers(self.slots, driver, BACK_SECONDS)
        self.back.append(time.monotonic() - began)
        return driver

    def _until_one_is_gone(self, before: Sequence[int]) -> None:
        """Death takes a moment, and who is as good as dead must not count as back."""
        deadline = time.monotonic() + BACK_SECONDS
        while set(before) <= set(victims.workers(self.place)):
            assert time.monotonic() < deadline, "nobody died of the kill"
            time.sleep(victims.POLL_SECONDS)

    def _workers(self, least: int, driver: Driver, seconds: float) -> list[int]:
        """The sweep's workers, as soon as there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := [pid for pid in victims.workers(self.place) if pid not in self._orphans]) < least:
            assert driver.alive, f"{ended(driver)} while {len(found)} of {least} workers were there"
            assert time.monotonic() < deadline, f"{len(found)} of {least} workers after {seconds:g} s"
            time.sleep(victims.POLL_SECONDS)
        return found


def ended(driver: Driver) -> str:
    """Why there is no driver any more: a sweep that was too short to be killed so often is no fault of the sweep."""
    code = driver.wait(END_SECONDS)
    return "the sweep was done (slow its pace down)" if code == 0 else f"the driver ended with {code}: {driver.said()}"

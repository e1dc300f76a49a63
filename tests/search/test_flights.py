"""Who is in the air, who fell silent, and why a worker went."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.flights import GRACE_SECONDS, Flights
from tracking.record import Cause

HANG = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def trial(trial_id: str, said: str | None = None, folder: Path | None = None) -> Any:
    """What of Ray's trial is read; its error file as Ray writes it."""
    file = None
    if said is not None and folder is not None:
        file = folder / "error.txt"
        file.write_text(f"Failure # 1 (occurred at noon)\nan older one\nFailure # 2 (occurred at one)\n{said}\n")
    return SimpleNamespace(trial_id=trial_id, error_file=file, temporary_state=SimpleNamespace(ray_actor=None))


@pytest.mark.parametrize(
    ("said", "silence", "cause"),
    [
        ("The actor died unexpectedly before finishing this task. Some common causes include: the process was "
         "killed by the OOM killer due to high memory usage", 3.0, Cause.DIED),
        ("Task was killed due to the node running low on memory.", 3.0, Cause.MEMORY),
        ("The actor died unexpectedly before finishing this task.", HANG + 1, Cause.HUNG),
        ("Task was killed due to the node running low on memory.", HANG + 1, Cause.HUNG),
    ],
)
def test_why_a_worker_went(tmp_path: Path, said: str, silence: float, cause: Cause) -> None:
    clock = Clock()
    flights = Flights(HANG, clock)
    flights.begin("a", "toy/plain/tune-000")
    flights.hear(trial("a"))
    clock.now += silence
    flights.died(trial("a", said, tmp_path))
    ended = flights.end("a")
    assert ended is not None and ended[:2] == ("toy/plain/tune-000", cause)
    assert "no report for 101 s" in ended[2] if cause is Cause.HUNG else said in ended[2]
    assert "older" not in ended[2]
    assert flights.end("a") is None and len(flights) == 0


def test_of_a_kill_for_memory_the_numbers_are_told_and_not_the_page_after_them(tmp_path: Path) -> None:
    """The sign may come late in Ray's text, and after it come statistics of everything."""
    numbers = "2 worker(s) were killed due to the node running low on memory. Memory was 4.75GB used / 23.59GB limit"
    said = f"The actor died. {'class_name: x ' * 300}. {numbers}\nObject store memory usage: {'x' * 999}"
    flights = Flights(HANG)
    flights.begin("a", "one")
    flights.died(trial("a", said, tmp_path))
    ended = flights.end("a")
    assert ended is not None and ended[1] is Cause.MEMORY
    assert ended[2] == f"Ray killed it because its node ran low on memory: {numbers}"


def test_waiting_for_a_worker_is_no_silence(tmp_path: Path) -> None:
    clock = Clock()
    flights = Flights(HANG, clock)
    flights.begin("a", "one")
    clock.now += 10 * HANG
    assert list(flights.silent()) == []
    flights.died(trial("a", "The actor died while it was being made.", tmp_path))
    assert flights.end("a") == ("one", Cause.DIED, "the worker died: The actor died while it was being made.")


def test_a_death_without_a_word_is_a_death_all_the_same() -> None:
    flights = Flights(HANG)
    flights.begin("a", "one")
    flights.died(trial("a"))
    assert flights.end("a") == ("one", Cause.DIED, "the worker died: Ray left no word")


def test_only_the_silent_are_ended_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[object] = []
    monkeypatch.setattr("search.flights.ray.kill", killed.append)
    clock = Clock()
    flights = Flights(HANG, clock)
    for name in ("silent", "talking"):
        flights.begin(name, name)
        carried = trial(name)
        carried.temporary_state.ray_actor = name
        flights.hear(carried)
    clock.now += HANG + GRACE_SECONDS + 1
    talking = trial("talking")
    flights.hear(talking)
    flights.kill_silent()
    flights.kill_silent()
    assert killed == ["silent"]


def test_nobody_waits_for_a_trial_that_was_taken_off() -> None:
    flights = Flights(HANG)
    flights.begin("a", "one")
    assert flights.hear(trial("a"))
    flights.end("a")
    assert not flights.hear(trial("a"))

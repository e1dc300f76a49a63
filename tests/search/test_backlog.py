"""The note on an MLflow that is behind: there while it is, gone when it is not, and never in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search import backlog
from search.backlog import Backlog
from tests.support.ports import free_port
from tracking.background import BATCH
from tracking.mlflow_log import MlflowLog, Store
from tracking.storage import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of a sweep, with a driver's first file."""
    made = Place.of(tmp_path / "mine")
    made.write("driver.json", b"{}")
    return made


def test_a_note_comes_with_the_first_failure_and_goes_with_the_next_success(place: Place) -> None:
    told = Backlog(place)
    told(0, None)
    assert backlog.read(place) is None
    told(7, "no route\nto host")
    told(9, "no route to host")
    note = backlog.read(place)
    assert note is not None and (note.behind, note.error) == (9, "no route to host")
    assert abs(note.time_ms / 1000 - time.time()) < 60
    told(0, None)
    assert backlog.read(place) is None and not place.exists(backlog.NAME)


@pytest.mark.parametrize(("left", "behind"), [(BATCH, False), (BATCH + 1, True)])
def test_a_store_that_is_only_slow_is_behind_by_more_than_it_is_given_at_once(
    place: Place, left: int, behind: bool
) -> None:
    Backlog(place)(left, None)
    assert (backlog.read(place) is not None) == behind


def test_the_note_of_a_driver_that_was_killed_goes_with_the_next_ones_first_success(place: Place) -> None:
    Backlog(place)(5, "down")
    Backlog(place)(0, None)
    assert backlog.read(place) is None


def test_a_damaged_note_is_none(place: Place) -> None:
    place.write(backlog.NAME, b"{")
    assert backlog.read(place) is None and backlog.line(place, driven=True) is None


def test_a_folder_that_went_away_is_not_made_again(tmp_path: Path) -> None:
    Backlog(Place.of(tmp_path / "gone"))(5, "down")
    assert not (tmp_path / "gone").exists()
    (tmp_path / "file").write_text("in the way of a folder, so that nothing can be written")
    Backlog(Place.of(tmp_path / "file"))(5, "down")  # and nobody hears of it


def test_a_store_that_is_down_is_noted_while_the_sweep_goes_on(place: Place) -> None:
    log = MlflowLog(Store(f"http://127.0.0.1:{free_port()}", "e", None), "mine", Backlog(place))
    for seq in range(3):
        log.observe({"kind": "sweep", "seq": seq, "time_ms": seq})
    until(lambda: backlog.read(place) is not None)
    note = backlog.read(place)
    assert note is not None and note.behind == 3 and note.error
    assert log.close(0.0) == 3


def test_an_abandoned_store_says_nothing_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch that was refused gives up at once: what waits then is not missing."""
    told: list[tuple[int, str | None]] = []
    began, let = threading.Event(), threading.Event()

    def write(self: object, events: object) -> int:
        began.set()
        let.wait(60)
        return 0

    monkeypatch.setattr("tracking.mlflow_writer.Writer.write", write)
    log = MlflowLog(Store("unused", "e", None), "mine", lambda left, error: told.append((left, error)))
    log.observe({"kind": "sweep", "seq": 0, "time_ms": 0})
    assert began.wait(60) and log.close(0.0) == 1
    let.set()
    until(lambda: not any(thread.name == "background-writer" for thread in threading.enumerate()))
    assert told == []


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""The log of a sweep: every line has time and level, tracebacks are there, remote storage gets all of it."""

from __future__ import annotations

import re
from pathlib import Path

from search.sweep_log import NAME, SweepLog
from tests.support.journals import Writer, journal
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place


def troubled() -> list[Event]:
    writer = Writer()
    writer.begin(["one"], ["plain"], 1, {})
    writer.events[0] |= {"driver": {"host": "somewhere", "pid": 7}, "dashboard": "http://127.0.0.1:1", "slots": 3}
    uid = writer.trial("one", "plain", Stage.TUNE, 0, 1000, status=Status.FAILED,
                       reason="ValueError: no\nTraceback\n  deep \x1b[31mline")
    reason = "the worker died: x\nits last words"
    writer.emit("retry", uid=uid, cause="died", reason=reason, attempt=1, index=0, metrics={})
    writer.emit("warning", text="a checkpoint is damaged")
    writer.emit("interrupted", by="limit", reason="flops: 2 of 1")
    return writer.events


def written(place: Place, events: list[Event], skip: int = 0) -> list[str]:
    log = SweepLog(place)
    log.skip(skip)
    for event in events:
        log(event)
    log.close()
    assert log.error is None
    return place.read(NAME).decode().splitlines()


def test_every_line_has_time_and_level_and_is_printable(tmp_path: Path) -> None:
    lines = written(Place.of(tmp_path), troubled())
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+\+00:00 (INFO|WARNING|ERROR) +\S?", line) for line in lines), lines
    assert all(line.isprintable() for line in lines)


def test_what_the_screen_has_no_room_for_is_there(tmp_path: Path) -> None:
    text = "\n".join(written(Place.of(tmp_path), troubled()))
    for words in ("process 7 on somewhere", "torch 2.15.0", "http://127.0.0.1:1", "ERROR     Traceback",
                  "WARNING   its last words", "a checkpoint is damaged", "WARNING interrupted: limit reached (flops"):
        assert words in text, words


def test_a_resumed_driver_goes_on_with_the_log(tmp_path: Path) -> None:
    events = journal()
    half = len(events) // 2
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    written(Place.of(tmp_path / "a"), events[:half])
    assert written(Place.of(tmp_path / "a"), events, skip=half) == written(Place.of(tmp_path / "b"), events)


def test_on_an_object_store_all_of_it_arrives(place: Place) -> None:
    """Two drivers, the second after the first, with uploads in between."""
    events = journal()
    half = len(events) // 2
    place.write("journal", b"")  # the sweep exists
    first, whole = written(place, events[:half]), written(place, events, skip=half)
    assert whole[: len(first)] == first and len(whole) > len(first)


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    log = SweepLog(Place.of(tmp_path / "gone"))
    for event in journal():
        log(event)
    log.note("still here")
    log.close()
    assert log.error is not None


def test_a_finished_sweep_gets_no_new_lines(tmp_path: Path) -> None:
    log = SweepLog(Place.of(tmp_path))
    log.skip(len(journal()))
    for event in journal():
        log(event)
    log.close()
    assert not list(tmp_path.iterdir())

"""The journal: durable order, torn ends, damage, failing storage, clocks; the same laws on every kind of storage."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.object_store import both
from tracking import book
from tracking.errors import StorageError, UserError
from tracking.journal import Journal, JournalError, held, load, of_kind, read
from tracking.object_store import ObjectStore
from tracking.storage import Place


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.lease.SETTLE_SECONDS", 0.0)


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place.of(tmp_path)


def file(place: Place) -> Path:
    assert place.local is not None
    return place.local / "journal.jsonl"


def write(place: Place, count: int) -> None:
    with Journal(place) as journal:
        for number in range(count):
            journal.append("result", uid="a", value=number / 7)


# On both


@both
def test_what_was_appended_is_read_back_exactly(place: Place) -> None:
    write(place, 5)
    events = list(read(place))
    assert [e["seq"] for e in events] == [0, 1, 2, 3, 4]
    assert [e["value"] for e in events] == [n / 7 for n in range(5)]  # floats survive bit for bit
    assert [e["time_ms"] for e in events] == sorted(e["time_ms"] for e in events)
    assert load(place) == (events, None)


def test_a_reopened_journal_goes_on(place: Place) -> None:
    write(place, 2)
    with Journal(place) as journal:
        assert [e["seq"] for e in journal.events] == [0, 1]
        assert journal.append("result", uid="b")["seq"] == 2
        assert journal.warnings == []
    assert [e["seq"] for e in read(place)] == [0, 1, 2]


def test_an_open_journal_can_be_read_and_is_held(place: Place) -> None:
    with Journal(place) as journal:
        journal.append("one")
        assert [e["kind"] for e in read(place)] == ["one"]
        assert held(place)
        with pytest.raises(UserError, match="one driver"):
            Journal(place)
        journal.append("two")
    assert not held(place)
    assert len(list(read(place))) == 2


def test_numbers_that_are_not_finite_are_refused(place: Place) -> None:
    with Journal(place) as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append("result", value=float("nan"))
        journal.append("result", value=1.0)
    assert [e["value"] for e in read(place)] == [1.0]


@pytest.mark.slow
def test_an_event_is_durable_when_append_returns(place: Place) -> None:
    """Killed without any chance to flush, right after append; the next driver need not wait for the dead one."""
    code = (
        "import os, sys; from tracking.journal import Journal; from tracking.storage import Place; "
        "j = Journal(Place.of(sys.argv[1])); j.append('result', uid='a'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [e["uid"] for e in read(place)] == ["a"]
    assert not held(place)
    with Journal(place) as journal:
        assert len(journal.events) == 1
        assert journal.lease.rank[0] == 2


def test_killed_while_appending(place: Place) -> None:
    """Wherever the kill falls, the journal is a prefix of what was written, with all that was acknowledged."""
    code = (
        "import sys; from tracking.journal import Journal; from tracking.storage import Place\n"
        "j = Journal(Place.of(sys.argv[1]))\n"
        "while True: print(j.append('result', text='x' * 5000)['seq'], flush=True)"
    )
    acknowledged = -1
    with subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged == 20:
                assert len(list(read(place))) >= 20  # while it writes
                writer.kill()
    events = list(read(place))
    assert [e["seq"] for e in events] == list(range(len(events)))
    assert acknowledged < len(events) <= acknowledged + 2
    with Journal(place) as journal:
        assert journal.append("next")["seq"] == len(events)


def test_time_never_goes_backwards_and_a_clock_that_is_behind_is_told(place: Place) -> None:
    for times, warnings in (([1_000_000, 990_000, 1_000_500], 0), ([996_000, 1_002_000], 0), ([900_000, 900_001], 1)):
        clock = iter([times[0], *times])  # the first look is for the warning
        with Journal(place, now_ms=lambda clock=clock: next(clock)) as journal:  # type: ignore[misc]
            assert len(journal.warnings) == warnings
            for _ in times:
                journal.append("tick")
    assert "102 s behind" in journal.warnings[0]
    assert [e["time_ms"] for e in read(place)] == [
        1_000_000, 1_000_000, 1_000_500, 1_000_500, 1_002_000, 1_002_000, 1_002_000
    ]


@both
def test_a_failed_append_does_not_count_and_the_next_may_succeed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again until patience ends; what is told names the place."""
    waits: list[float] = []
    with Journal(place, patience=30, watch=lambda: sum(waits), sleep=waits.append) as journal:
        journal.append("before")
        waits.clear()
        with failing(monkeypatch, journal, times=3):
            journal.append("slow")
        assert len(waits) == 3
        waits.clear()
        with failing(monkeypatch, journal, times=10**9), pytest.raises(StorageError) as told:
            journal.append("lost")
        assert 20 < sum(waits) <= 30
        assert place.name in str(told.value) and "hint" in str(told.value)
        assert len(journal.events) == 2
        assert journal.append("after")["seq"] == 2
    assert [e["kind"] for e in read(place)] == ["before", "slow", "after"]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, journal: Journal, times: int) -> Iterator[None]:
    """The storage takes half of a line, or nothing, so many times."""
    left = [times]

    def refuse(real: Callable[..., Any], whole: bool) -> Callable[..., Any]:
        def act(*args: Any) -> Any:
            if left[0] <= 0:
                return real(*args)
            left[0] -= 1
            if not whole:
                real(args[0], bytes(args[1][: len(args[1]) // 2]))
            raise OSError(errno.ENOSPC, "No space left on device")

        return act

    with monkeypatch.context() as patch:
        if isinstance(journal._book, book.Book):
            patch.setattr(book.os, "write", refuse(os.write, whole=False))
        else:
            patch.setattr(ObjectStore, "write", refuse(ObjectStore.write, whole=True))
        yield


# In a local file; what damages one: test_journal_damage.py


def test_what_a_later_version_wrote_is_refused_and_left_alone(place: Place) -> None:
    write(place, 2)
    if place.local is None:
        name = (place / "journal").names()[-1]
        target = place / "journal"
    else:
        name, target = "journal.jsonl", place
    newer = target.read(name).replace(b'"schema":1', b'"schema":99')
    target.write(name, newer)
    with pytest.raises(JournalError, match="schema 99"):
        list(read(place))
    with pytest.raises(UserError, match="readable by this version"):
        Journal(place)
    assert target.read(name) == newer
    assert not held(place)


@pytest.mark.slow
def test_a_full_disk_leaves_no_torn_line(here: Place) -> None:
    """A real limit of the system, in a process of its own: half of a line fits, and room is made later."""
    code = """
import resource, signal, sys
from tracking.errors import StorageError
from tracking.journal import Journal, read
from tracking.storage import Place
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
place = Place.of(sys.argv[1])
with Journal(place, patience=0.2) as journal:
    for _ in range(3):
        journal.append("fits", text="x" * 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3500, resource.RLIM_INFINITY))
    try:
        journal.append("too much", text="y" * 1000)
    except StorageError as error:
        print(error)
    assert len(list(read(place))) == 3
    assert (place.local / "journal.jsonl").read_bytes().endswith(b"\\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert journal.append("fits again")["seq"] == 3
"""
    done = subprocess.run([sys.executable, "-c", code, here.uri], capture_output=True, text=True, check=True)
    assert "storage must stay usable" in done.stdout and here.uri in done.stdout
    assert len(list(read(here))) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Place]:
    """A real file system of 256 KiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield Place.of(tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as sink:
        while sink.write(b"x" * 4096):
            pass


def test_a_really_full_disk(small_disk: Place) -> None:
    filler = Path(small_disk.uri) / "filler"
    with Journal(small_disk, patience=0.0) as journal:
        journal.append("before")
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        for _ in range(2):
            with pytest.raises(StorageError, match="make room"):
                journal.append("lost", text="y" * 10_000)
        assert [e["kind"] for e in read(small_disk)] == ["before"]
        assert file(small_disk).read_bytes().count(b"\n") == 1 and file(small_disk).read_bytes().endswith(b"\n")
        with suppress(OSError):
            journal.lease.renew()
        assert not journal.lease.lost
        filler.unlink()
        journal.append("after", text="y" * 10_000)
    assert [e["kind"] for e in read(small_disk)] == ["before", "after"]


def test_a_folder_that_went_away_is_told(here: Place) -> None:
    with Journal(here, patience=0.0) as journal:
        journal.append("one")
        file(here).unlink()
        with pytest.raises(StorageError, match="removed"):
            journal.append("two")


def test_of_kind(here: Place) -> None:
    write(here, 2)
    events = list(read(here))
    assert len(of_kind(events, "result", uid="a")) == 2
    assert of_kind(events, "result", uid="b") == []
    assert of_kind(events, "ended") == []

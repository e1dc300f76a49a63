"""The append-only truth of a sweep: one JSON line per event, on disk before it counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from tracking import book, segments
from tracking.book import Book
from tracking.errors import StorageError, UserError
from tracking.events import SCHEMA, Event, JournalError, Loaded, NewerSchemaError, to_line
from tracking.lease import Lease, holder
from tracking.segments import Segments
from tracking.storage import Place, failure

__all__ = ["SCHEMA", "Event", "Journal", "JournalError", "Loaded", "held", "load", "of_kind", "read"]

PATIENCE_SECONDS = 30.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 5.0
CLOCK_BEHIND_MS = 5000


class Journal:
    """Appends events and remembers them; one writer at a time, on this machine and on all others.

    Every event carries `schema`, `seq` (0, 1, 2, ...), `time_ms` (the timestamp MLflow will show, which never goes
    backwards) and `kind`. A last line torn by a crash never counted, so it is cut off on opening. Other damage is
    kept aside at the first `append`, the events before it are gone on from, and `warnings` says so.

    Args:
        place: of the sweep; it must exist.
        patience: seconds to try again for when an event cannot be written.
        now_ms: this machine's clock.
        watch, sleep: a clock that only goes forwards, and waiting by it.

    Raises:
        UserError: another driver holds the journal, or a later version of the code wrote it.
        StorageError: the storage cannot be reached.
    """

    def __init__(
        self, place: Place, patience: float = PATIENCE_SECONDS, *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        watch: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._place, self._patience = place, patience
        self._now_ms, self._watch, self._sleep = now_ms, watch, sleep
        self.warnings: list[str] = []
        self._book: Book | Segments = Segments(place) if place.local is None else Book(place)
        lease = None
        try:
            if isinstance(self._book, Segments):
                lease = Lease(place, self._book.highest_epoch(), watch=watch, sleep=sleep)
                loaded = self._book.load(lease.rank)
            else:
                lease = Lease(place, locked=self._book.locked, watch=watch, sleep=sleep)
                loaded = self._book.load()
        except BaseException as error:
            if lease is not None:
                lease.close()
            self._book.close()
            if isinstance(error, NewerSchemaError):
                raise UserError(
                    "a sweep must be readable by this version", error, "use the version of invsearch that made it"
                ) from None
            raise
        self.lease = lease
        self.events = loaded.events
        self._last_ms = max((event["time_ms"] for event in self.events[-1:]), default=0)
        self._warn(loaded)

    def append(self, kind: str, **fields: Any) -> Event:
        """Write one event and return it once it is on disk; numbers that are not finite are refused.

        Raises:
            StorageError: the storage failed for longer than the patience, or another driver took over; the event
                does not count, all before it do, and the next append may succeed.
        """
        now = max(self._last_ms, self._now_ms())
        event: Event = {"schema": SCHEMA, "seq": len(self.events), "time_ms": now, "kind": kind, **fields}
        self._persist(event["seq"], to_line(event))
        self._last_ms = now
        self.events.append(event)
        return event

    def close(self) -> None:
        """Let another driver have it."""
        try:
            self.lease.close()
        finally:
            self._book.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _persist(self, seq: int, line: bytes) -> None:
        until, pause = self._watch() + self._patience, FIRST_PAUSE_SECONDS
        while True:
            try:
                self.lease.confirm()
                return self._book.append(seq, line)
            except OSError as error:
                if isinstance(error, StorageError) and self.lease.lost:
                    raise
                if self._watch() + pause > until:
                    raise _failed(self._place, error) from None
            self._sleep(pause)
            pause = min(2 * pause, LAST_PAUSE_SECONDS)

    def _warn(self, loaded: Loaded) -> None:
        if loaded.damage is not None:
            self.warnings.append(
                f"the journal was damaged: {loaded.damage}; going on from the {len(loaded.events)} events before it"
            )
        behind = self._last_ms - self._now_ms()
        if behind > CLOCK_BEHIND_MS:
            self.warnings.append(
                f"this machine's clock is {behind / 1000:.0f} s behind the journal's last event; until it catches up, "
                "new events carry that event's time"
            )


def read(place: Place) -> Iterator[Event]:
    """The events of a sweep's journal, without a torn last line; safe while another process writes.

    Raises:
        JournalError: a damaged line, a gap in the sequence, or a schema from the future.
        FileNotFoundError: there is no journal.
    """
    local = place.local
    if local is not None:
        yield from book.read(local)
        return
    events, damage = segments.read(place)
    yield from events
    if damage is not None:
        raise JournalError(damage)


def load(place: Place) -> Loaded:
    """The events up to the end or up to damage, and what the damage is.

    Raises:
        JournalError: a schema from the future.
        FileNotFoundError: there is no journal.
    """
    events: list[Event] = []
    try:
        for event in read(place):
            events.append(event)  # noqa: PERF402 - what came before an error must be kept
    except NewerSchemaError:
        raise
    except JournalError as error:
        return Loaded(events, str(error))
    return Loaded(events, None)


def held(place: Place) -> bool:
    """Whether a driver is at work on the sweep, as far as can be told without waiting."""
    local = place.local
    return (local is not None and book.locked(local)) or holder(place) is not None


def of_kind(events: list[Event], kind: str, **where: Any) -> list[Event]:
    """The events of one kind whose fields equal `where`."""
    return [e for e in events if e["kind"] == kind and _matches(e, where)]


def _matches(event: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(event.get(name) == value for name, value in where.items())


def _failed(place: Place, error: OSError) -> StorageError:
    return error if isinstance(error, StorageError) else failure(place, "written", error)

"""The append-only truth of a sweep: one JSON line per event, on disk before it counts."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tracking.errors import UserError

SCHEMA = 1
Event = dict[str, Any]


class JournalError(RuntimeError):
    """The journal is damaged in a place that a crash cannot explain."""


class Journal:
    """Appends events and remembers them; one writer at a time.

    Every event carries `schema`, `seq` (0, 1, 2, ...), `time_ms` (the timestamp MLflow will show) and `kind`.
    A last line torn by a crash never counted, so it is cut off on opening; damage anywhere else is an error.

    Args:
        path: the file; its folder must exist.

    Raises:
        UserError: another process holds the journal.
        JournalError: a line that is not the last one does not parse, or the sequence has a gap.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(
                "a sweep has one driver at a time", path, "wait for the other driver, or stop it, then resume"
            ) from None
        self.events = list(read(path))
        os.ftruncate(self._file.fileno(), _whole_bytes(path))

    def append(self, kind: str, **fields: Any) -> Event:
        """Write one event and return it once it is on disk; numbers that are not finite are refused."""
        event: Event = {
            "schema": SCHEMA, "seq": len(self.events), "time_ms": time.time_ns() // 1_000_000, "kind": kind, **fields,
        }
        self._file.write(json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.events.append(event)
        return event

    def close(self) -> None:
        self._file.close()  # releases the lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def held(path: Path) -> bool:
    """Whether a driver on this machine has the journal open."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def read(path: Path) -> Iterator[Event]:
    """The events of a journal, without a torn last line; safe while another process writes.

    Raises:
        JournalError: a damaged line, a gap in the sequence, or a schema from the future.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                return
            yield _parse(line, number, path)


def _parse(line: bytes, number: int, path: Path) -> Event:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise JournalError(f"line {number + 1} of {path} is not JSON: {error}") from None
    if not isinstance(event, dict) or event.get("seq") != number:
        raise JournalError(f"line {number + 1} of {path} must carry seq {number}, but got {line[:80]!r}")
    if event.get("schema", 0) > SCHEMA:
        raise JournalError(f"{path} has schema {event['schema']}; this version reads up to {SCHEMA}")
    return event


def _whole_bytes(path: Path) -> int:
    """Bytes up to and including the last newline."""
    return path.read_bytes().rfind(b"\n") + 1


def of_kind(events: list[Event], kind: str, **where: Any) -> list[Event]:
    """The events of one kind whose fields equal `where`."""
    return [e for e in events if e["kind"] == kind and _matches(e, where)]


def _matches(event: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(event.get(name) == value for name, value in where.items())

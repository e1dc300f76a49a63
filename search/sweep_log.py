"""`sweep.log`: what the screen says, and what it has no room for, as plain lines with time and level.

An observer of events that never stops the sweep: a log that cannot be written is a pity, the journal is the truth.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from search.status import Standing
from tracking.journal import Event
from tracking.record import Status
from tracking.storage import Place

NAME = "sweep.log"
UPLOAD_SECONDS = 10.0
OF_DRIVERS = ("sweep", "resumed")  # these tell who drives, with which versions
OF_WARNING = ("retry", "warning", "interrupted", "artefact_gone")


class SweepLog:
    """Appends to the sweep's log; on an object store to a local copy that is uploaded every few seconds.

    Args:
        place: of the sweep.
        upload_seconds: between two uploads, where the place is not local.
    """

    def __init__(self, place: Place, upload_seconds: float = UPLOAD_SECONDS) -> None:
        self.error: str | None = None
        self._place, self._upload_seconds = place, upload_seconds
        self._standing = Standing()
        self._quiet_until_seq = -1
        self._file: IO[bytes] | None = None
        self._scratch: Path | None = None
        self._changed, self._closing = threading.Event(), threading.Event()
        self._uploader: threading.Thread | None = None

    @property
    def uri(self) -> str:
        """Where it can be read."""
        return str(self._place / NAME)

    def skip(self, events: int) -> None:
        """Write nothing about the first so many events: an earlier driver has."""
        self._quiet_until_seq = events - 1

    def __call__(self, event: Event) -> None:
        """One event; the first that is not skipped opens the file."""
        self._standing.take(event)
        if event["seq"] <= self._quiet_until_seq or self.error is not None:
            return
        time = datetime.fromtimestamp(event["time_ms"] / 1000, UTC)
        self._write("".join(_line(time, level, text) for level, text in _told(event, self._standing)))

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """A line that no event tells, such as a tracking store that does not answer."""
        if self.error is None:
            self._write(_line(datetime.now(UTC), level, text))

    def close(self) -> None:
        """Flush, and upload for the last time."""
        self._closing.set()
        self._changed.set()
        if self._file is not None:
            self._file.close()
        if self._uploader is not None and self._scratch is not None:
            self._uploader.join()
            self._send(self._scratch)
            self._scratch.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        if not text:
            return
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(text.encode(errors="replace"))
            self._changed.set()
        except OSError as error:
            self.error = str(error)

    def _open(self) -> IO[bytes]:
        local = self._place.local
        if local is not None:
            return (local / NAME).open("ab", buffering=0)
        handle, path = tempfile.mkstemp(prefix="invsearch-", suffix=".log")
        file = open(handle, "ab", buffering=0)  # noqa: SIM115 - closed in `close`
        self._scratch = Path(path)
        with suppress(FileNotFoundError):  # what earlier drivers wrote stays
            file.write(self._place.read(NAME))
        self._uploader = threading.Thread(target=self._upload, name="sweep-log", daemon=True)
        self._uploader.start()
        return file

    def _upload(self) -> None:
        """Until closed: whenever there is news, and not more often than every few seconds."""
        assert self._scratch is not None
        while True:
            self._changed.wait()
            if self._closing.wait(self._upload_seconds):
                return
            self._changed.clear()
            self._send(self._scratch)

    def _send(self, scratch: Path) -> None:
        with suppress(OSError):  # the next time brings everything
            self._place.write(NAME, scratch.read_bytes())


def _told(event: Event, standing: Standing) -> list[tuple[int, str]]:
    """Level and text of every line; the screen's own line first."""
    kind = event["kind"]
    failed = event["reason"] if kind == "stage_done" else kind == "ended" and event["status"] == Status.FAILED
    level = logging.ERROR if failed else logging.WARNING if kind in OF_WARNING else logging.INFO
    lines = [] if (line := standing.line(event)) is None else [(level, line)]
    if kind == "asked":
        lines.append((logging.INFO, f"{event['uid']} is asked: {event['config']}"))
    if kind in OF_DRIVERS:
        lines += [(logging.INFO, text) for text in _driver(event)]
    if kind == "warning":
        lines += [(level, f"  {text}") for text in event["text"].splitlines()[1:]]
    if failed or kind == "retry":  # the traceback
        lines += [(level, f"  {text}") for text in (event.get("reason") or "").strip().splitlines()[1:]]
    return lines


def _driver(event: Event) -> list[str]:
    """Who drives, on what."""
    provenance = event.get("provenance") or {}
    driver = event.get("driver") or {}
    said = {
        "driver": f"process {driver['pid']} on {driver['host']}" if driver else None,
        "slots": event.get("slots"),
        "Ray dashboard": event.get("dashboard"),
        "versions": ", ".join(f"{name} {number}" for name, number in (provenance.get("versions") or {}).items()),
        "code": provenance.get("code"),
        "commit": provenance.get("commit"),
        "platform": provenance.get("platform"),
        "overrides": event.get("overrides"),
        "notes": event.get("notes"),
    }
    return [f"{name}: {value}" for name, value in said.items() if value]


def _line(time: datetime, level: int, text: str) -> str:
    """One line of printable characters."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return f"{time.isoformat(timespec='milliseconds')} {logging.getLevelName(level):<7} {clean.rstrip()}\n"

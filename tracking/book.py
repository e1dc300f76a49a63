"""A journal in one local file: appended in place, flushed to disk, locked while it is written."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tracking.events import Event, JournalError, Loaded, NewerSchemaError, to_event, torn
from tracking.lease import taken
from tracking.storage import Place, failure, sync_folder

FILE = "journal.jsonl"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # some network file systems


class Book:
    """The file, open for one writer.

    Args:
        place: of the sweep; it must exist, on a local path.

    Raises:
        UserError: another process of this machine, or of any that shares the lock, has it open.
        StorageError: it cannot be opened.
    """

    def __init__(self, place: Place) -> None:
        self._path = Path(place.uri) / FILE
        try:
            self._handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise failure(self._path, "opened", error) from None
        self._size = 0  # of what counts
        self._aside: Path | None = None  # where damage is kept, once something is written
        self.locked = True
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                self.locked = False  # the lease alone has to do
                return
            os.close(self._handle)
            raise taken(place) from None

    def load(self) -> Loaded:
        """Everything up to the end or up to damage. What a crash has torn is cut off; damage stays as it is until
        something is appended, and is kept aside then.

        Raises:
            NewerSchemaError: a later version wrote it; nothing is changed.
        """
        events: list[Event] = []
        try:
            for event, end in _scan(self._path):
                events.append(event)
                self._size = end
        except NewerSchemaError:
            raise
        except JournalError as error:
            self._aside = self._path.with_name(f"journal.damaged-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
            return Loaded(events, f"{error}; the whole file is kept as {self._aside.name}")
        self._cut()
        return Loaded(events, None)

    def append(self, seq: int, line: bytes) -> None:
        """Write a line; it is on disk when this returns.

        Raises:
            OSError: it is not, and the file ends where it ended before.
        """
        status = os.fstat(self._handle)
        if status.st_nlink == 0:  # a handle outlives its file
            raise FileNotFoundError(errno.ENOENT, "the journal was removed", str(self._path))
        if status.st_size != self._size:
            if self._aside is not None:
                _copy(self._path, self._aside)
                self._aside = None
            self._cut()  # damage, or what an earlier attempt left
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        except BaseException:
            self._cut(quietly=True)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._handle)

    def _cut(self, quietly: bool = False) -> None:
        try:
            os.ftruncate(self._handle, self._size)
            os.fsync(self._handle)
        except OSError:
            if not quietly:
                raise


def locked(folder: Path) -> bool:
    """Whether some process of this machine has the file open for writing."""
    try:
        with (folder / FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError as error:
        return error.errno not in NO_LOCKS
    return False


def read(folder: Path) -> Iterator[Event]:
    """The events of a file, without a torn last line; safe while another process writes.

    Raises:
        JournalError: a damaged line, or a gap in the sequence.
        FileNotFoundError: there is no file.
        StorageError: it cannot be read.
    """
    for event, _ in _scan(folder / FILE):
        yield event


def _scan(path: Path) -> Iterator[tuple[Event, int]]:
    """Each event, and where it ends."""
    end = 0
    for number, line in enumerate(_lines(path)):
        if not line.endswith(b"\n"):
            if torn(line):
                return
            raise JournalError(f"line {number + 1} of {path} is no event: it begins with {line[:20]!r}")
        event, end = to_event(line, number, path), end + len(line)
        if event["seq"] != number:
            raise JournalError(f"line {number + 1} of {path} must carry seq {number}, but got {line[:80]!r}")
        yield event, end


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failure(path, "read", error) from None


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(target.parent)

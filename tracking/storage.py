"""One place for files, on a local path or in an object store; every write is there in full or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from tracking.errors import StorageError, UserError

if TYPE_CHECKING:
    from tracking.object_store import ObjectStore

MARKER = ".writable"
ROOM, WAY = "make room on it", "move what is in the way to another place"
HINTS = {
    errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EEXIST: WAY, errno.ENOTDIR: WAY, errno.EISDIR: WAY,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder. Made by `Place.of`; small, hashable, and travels to other processes.

    Every method that reaches the storage raises FileNotFoundError for a file that is not there, and StorageError
    for everything else that goes wrong.

    Args:
        uri: an absolute path where it is local, else a URI such as "s3://bucket/folder".
    """

    uri: str

    @classmethod
    def of(cls, where: str | Path | Place) -> Place:
        """The place at a path ("~" is understood), at a `file://` URI, or at a URI that pyarrow understands.

        Raises:
            UserError: the URI names no bucket, or carries credentials.
        """
        if isinstance(where, Place):
            return where
        parts = urlsplit(str(where)) if isinstance(where, str) and "://" in where else None
        if parts is None:
            return cls(str(Path(where).expanduser().resolve()))
        if parts.scheme == "file":
            return cls(str(Path(unquote(parts.path)).resolve()))
        if not parts.netloc:
            raise UserError("a storage URI must name its bucket", where, "such as s3://bucket/folder")
        if "@" in parts.netloc:  # they would end up in journals and logs
            raise UserError(
                "a storage URI must not carry credentials", f"{parts.scheme}://...@{parts.netloc.rpartition('@')[2]}",
                "give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or as your storage's own configuration",
            )
        return cls(urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment="")))

    @property
    def local(self) -> Path | None:
        """The folder, where it is one of this machine's file system."""
        return None if "://" in self.uri else Path(self.uri)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return Path(self._path).name

    @property
    def parent(self) -> Place:
        """One level up."""
        return self._with(str(PurePosixPath(self._path).parent) if self._path else "")

    def __truediv__(self, part: str) -> Place:
        return self._with(f"{self._path.rstrip('/')}/{part.strip('/')}")

    def __str__(self) -> str:
        return self.uri

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._told("read", name):
            local = self.local
            return self._store().read(name) if local is None else (local / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole; it is durable when this returns. Folders on the way are made."""
        with self._told("written", name):
            local = self.local
            if local is None:
                self._store().write(name, data)
            else:
                _replace(local / name, data)

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder of this name; without a name, whether the place itself exists."""
        with self._told("looked at", name):
            local = self.local
            return self._store().exists(name) if local is None else (local / name).exists()

    def modified(self, name: str) -> float | None:
        """When a file was last written, in seconds since 1970 by the storage's clock; None if there is none."""
        with self._told("looked at", name):
            local = self.local
            if local is None:
                return self._store().modified(name)
            try:
                return (local / name).stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                return None

    def names(self) -> list[str]:
        """Of the files and folders here, in order, without hidden ones; none where the place does not exist."""
        with self._told("listed"):
            local = self.local
            if local is None:
                found = self._store().names()
            else:
                try:
                    found = os.listdir(local)
                except (FileNotFoundError, NotADirectoryError):
                    found = []
            return sorted(name for name in found if not name.startswith("."))

    def delete(self, name: str = "") -> None:
        """Remove a file or a whole folder; without a name, the place itself. What is not there is no error."""
        with self._told("deleted", name):
            local = self.local
            if local is None:
                self._store().delete(name)
            else:
                _remove(local / name)

    def check(self) -> None:
        """Write, read and delete a small file, before work starts.

        Raises:
            UserError: no credentials, no bucket, not reachable, or not writable; told within about 15 s.
        """
        local, marker = self.local, f"{MARKER}-{uuid.uuid4().hex}"  # others may check the same place at this moment
        if local is None:
            from tracking.object_store import check

            check(self, marker)
            return
        try:
            _replace(local / marker, b"")
            (local / marker).unlink()
        except OSError as error:
            raise UserError(
                "the storage must be writable", f"{local}: {error.strerror}", "give another --root"
            ) from None

    @property
    def _path(self) -> str:
        return urlsplit(self.uri).path if "://" in self.uri else self.uri

    def _with(self, path: str) -> Place:
        if "://" not in self.uri:
            return Place(path)
        return Place(urlunsplit(urlsplit(self.uri)._replace(path=path.rstrip("/"))))

    def _store(self) -> ObjectStore:
        from tracking.object_store import ObjectStore  # pyarrow takes its time to load

        return ObjectStore.at(self.uri)

    @contextmanager
    def _told(self, what: str, name: str = "") -> Iterator[None]:
        """Every error names the place."""
        try:
            yield
        except (FileNotFoundError, StorageError, UserError):
            raise
        except OSError as error:
            raise failure(self / name if name else self, what, error) from None


def failure(place: Place | Path, what: str, error: OSError) -> StorageError:
    """What went wrong with a place, in a sentence."""
    said = error.strerror if isinstance(error.strerror, str) else str(error)
    hint = HINTS.get(error.errno or 0, "is it still mounted or reachable, and writable?")
    return StorageError(f"a sweep's storage must stay usable, but this could not be {what}", f"{place}: {said}", hint)


def _replace(path: Path, data: bytes) -> None:
    """Write beside the target, bring it to disk, rename; then bring the folder's entry to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring new names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        pass  # somebody else was faster

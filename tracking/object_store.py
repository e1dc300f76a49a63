"""Folders of object stores, through pyarrow: one object is one file, and a PUT is there in full or not at all."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pyarrow import fs

from tracking.errors import StorageError, UserError

if TYPE_CHECKING:
    from tracking.storage import Place

CHECK_SECONDS = 15.0    # no answer after this long is no answer
CONNECT_SECONDS, ATTEMPTS = 3.0, 3
S3_OPTIONS = {"region", "scheme", "endpoint_override"}  # in the URI's query
HINTS = {
    "ACCESS_DENIED": "are there credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws)? "
    "they must allow to list, read, write and delete there",
    "INVALID_ACCESS_KEY_ID": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "SIGNATURE_DOES_NOT_MATCH": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "NO_SUCH_BUCKET": "make the bucket first, or check its name",
    "credentials": "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws",
    "NETWORK_CONNECTION": "is the address right, and the network up?",
}


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A folder of an object store.

    Args:
        base: pyarrow's path of the folder, "bucket/folder".
    """

    files: Any
    base: str

    @classmethod
    def at(cls, uri: str) -> ObjectStore:
        parts = urlsplit(uri)
        files, bucket = _file_system(parts.scheme, parts.netloc, parts.query)
        return cls(files, f"{bucket}{parts.path}".rstrip("/"))

    def read(self, name: str) -> bytes:
        with self.files.open_input_stream(self._path(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        """A small object goes in one request when the stream closes; a larger one appears when its last part is in."""
        with self.files.open_output_stream(self._path(name)) as stream:
            stream.write(data)

    def exists(self, name: str) -> bool:
        return bool(self._info(name).type != fs.FileType.NotFound)

    def modified(self, name: str) -> float | None:
        info = self._info(name)
        return info.mtime.timestamp() if info.type == fs.FileType.File and info.mtime is not None else None

    def names(self) -> list[str]:
        selector = fs.FileSelector(self.base, allow_not_found=True)
        return [info.base_name for info in self.files.get_file_info(selector)]

    def delete(self, name: str) -> None:
        kind = self._info(name).type
        try:
            if kind == fs.FileType.Directory:
                self.files.delete_dir(self._path(name))
            elif kind == fs.FileType.File:
                self.files.delete_file(self._path(name))
        except FileNotFoundError:
            pass  # somebody else was faster

    def _path(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base

    def _info(self, name: str) -> Any:
        return self.files.get_file_info(self._path(name))


@lru_cache(maxsize=32)
def _file_system(scheme: str, bucket: str, query: str) -> tuple[Any, str]:
    """pyarrow's file system and what its paths begin with."""
    if scheme == "s3":
        return _s3(bucket, dict(parse_qsl(query))), bucket
    uri = urlunsplit((scheme, bucket, "/", query, ""))
    try:
        files, path = fs.FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError) as error:  # pyarrow's own words for an unknown scheme or option
        raise UserError("the storage must be a path or a URI that pyarrow understands", uri, str(error)) from None
    return files, path.rstrip("/")


def _s3(bucket: str, options: dict[str, str]) -> Any:
    """Not `from_uri`, which knows neither timeouts nor retries nor one-request writes."""
    if unknown := options.keys() - S3_OPTIONS:
        raise UserError(
            "the query of an s3:// URI may hold region, scheme and endpoint_override", ", ".join(sorted(unknown))
        )
    endpoint = options.pop("endpoint_override", None)
    if endpoint is not None and "://" in endpoint:
        scheme, _, endpoint = endpoint.partition("://")
        options.setdefault("scheme", scheme)
    region = options.pop("region", None) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    own = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(
        region=region or ("us-east-1" if own else fs.resolve_s3_region(bucket)), endpoint_override=endpoint,
        allow_delayed_open=True, connect_timeout=CONNECT_SECONDS, request_timeout=CHECK_SECONDS / ATTEMPTS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS), **options,
    )


def check(place: Place, marker: str) -> None:
    """Write, read and delete; on a thread, because some ways of being unreachable never end.

    Raises:
        UserError: it did not work within CHECK_SECONDS.
    """
    box: list[BaseException | None] = []

    def work() -> None:
        try:
            place.write(marker, b"x")
            try:
                place.read(marker)
            finally:
                place.delete(marker)
            box.append(None)
        except Exception as error:
            box.append(error)

    thread = threading.Thread(target=work, name="storage-check", daemon=True)
    thread.start()
    thread.join(CHECK_SECONDS)
    rule = "the storage must be reachable and writable"
    if not box:
        raise UserError(rule, f"{place} did not answer within {CHECK_SECONDS:.0f} s", HINTS["NETWORK_CONNECTION"])
    error = box[0]
    if isinstance(error, UserError):
        raise error
    if error is not None:
        said = error.got if isinstance(error, StorageError) else f"{place}: {error}"
        hint = next((hint for word, hint in HINTS.items() if word.lower() in said.lower()), "")
        raise UserError(rule, said, hint) from None

"""Places: the same behaviour of paths and object stores, and clear words where a storage cannot be used."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.object_store import both
from tracking import storage
from tracking.checkpoints import Checkpoints
from tracking.errors import StorageError, UserError
from tracking.mounts import on_network
from tracking.object_store import ObjectStore
from tracking.storage import Place


@both
def test_files_come_and_go(place: Place) -> None:
    assert place.names() == [] and not (place / "no").exists() and not place.exists("a.txt")
    place.write("a.txt", b"one")
    place.write("a.txt", b"two")
    place.write("deep/er/b.txt", b"three")
    assert place.read("a.txt") == b"two"
    assert (place / "deep" / "er").read("b.txt") == place.read("deep/er/b.txt") == b"three"
    assert place.names() == ["a.txt", "deep"] and (place / "deep").names() == ["er"]
    assert place.exists() and place.exists("a.txt") and place.exists("deep/er")
    changed = place.modified("a.txt")
    assert changed is not None and changed > 1e9
    assert place.modified("none") is None and place.modified("a.txt/none") is None
    place.delete("a.txt")
    place.delete("a.txt")
    (place / "deep").delete()
    assert place.names() == []
    with pytest.raises(FileNotFoundError):
        place.read("a.txt")


def test_an_empty_and_a_large_file(place: Place) -> None:
    large = os.urandom(11 * 2**20)  # more than one request on an object store
    for data in (b"", large):
        place.write("data", data)
        assert place.read("data") == data


def test_hidden_names_are_not_shown(place: Place) -> None:
    place.write(".half-written", b"")
    place.write("whole", b"")
    assert place.names() == ["whole"]


def test_a_usable_place_passes_the_check_and_keeps_nothing_of_it(place: Place) -> None:
    place.check()
    left = place.local
    assert place.names() == [] and (left is None or os.listdir(left) == [])


@both
def test_checks_of_one_place_at_the_same_time_do_not_disturb_each_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweeps that start together: the whole check of the second falls between two steps of the first's."""
    kind, name = (storage, "_replace") if place.local is not None else (ObjectStore, "write")
    write, calls = getattr(kind, name), []

    def interrupted(*given: object) -> None:
        write(*given)
        calls.append(given)
        if len(calls) == 1:
            place.check()

    monkeypatch.setattr(kind, name, interrupted)
    place.check()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("given", "uri", "name", "parent", "child"),
    [
        ("/a/b/", "/a/b", "b", "/a", "/a/b/c"),
        ("file:///a/b%20c", "/a/b c", "b c", "/a", "/a/b c/c"),
        ("s3://bucket/a/b/", "s3://bucket/a/b", "b", "s3://bucket/a", "s3://bucket/a/b/c"),
        ("s3://bucket", "s3://bucket", "", "s3://bucket", "s3://bucket/c"),
        ("s3://b/a?region=x&scheme=http", "s3://b/a?region=x&scheme=http", "a", "s3://b?region=x&scheme=http",
         "s3://b/a/c?region=x&scheme=http"),
    ],
)
def test_names_of_places(given: str, uri: str, name: str, parent: str, child: str) -> None:
    place = Place.of(given)
    assert (str(place), place.name, place.parent.uri, (place / "c").uri) == (uri, name, parent, child)
    assert (place.local is None) == uri.startswith("s3")
    assert pickle.loads(pickle.dumps(place)) == place == Place.of(place) and hash(place) == hash(Place.of(uri))


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Place.of("here").local == tmp_path / "here"
    assert Place.of(Path("~/there")).local == tmp_path / "home" / "there"


def test_credentials_in_a_uri_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="must not carry credentials") as told:
        Place.of("s3://key:secret@bucket/folder")
    assert "secret" not in str(told.value)
    with pytest.raises(UserError, match="name its bucket"):
        Place.of("s3:///folder")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.of(tmp_path)
    place.write("a", b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="make room") as told:
            place.write("a", b"new")
    assert str(tmp_path) in str(told.value)
    assert place.read("a") == b"old" and os.listdir(tmp_path) == ["a"]
    again = pickle.loads(pickle.dumps(told.value))
    assert isinstance(again, OSError) and str(again) == str(told.value)


def test_a_local_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="must be writable"):
        Place.of(tmp_path / "file" / "below").check()


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("s3://no-such-bucket/a?{query}", "make the bucket first"),
        pytest.param(
            "s3://sweeps/a?endpoint_override=127.0.0.1:{closed}&scheme=http", "network up", marks=pytest.mark.slow
        ),
        ("s3://sweeps/a?colour=red", "endpoint_override"),
        ("strange://bucket/a", "pyarrow understands"),
    ],
)
def test_an_object_store_that_cannot_be_used_is_told_before_work_starts(s3: str, uri: str, word: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        given = uri.format(query=s3.partition("?")[2], closed=unused.getsockname()[1])
        with pytest.raises(UserError) as told:
            Place.of(given).check()
    assert word in str(told.value) and "Traceback" not in str(told.value)


class _Refusing(BaseHTTPRequestHandler):
    """What S3 says to somebody without credentials."""

    def do_PUT(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(UserError, match="are there credentials"):
            Place.of(f"s3://private/a?endpoint_override=127.0.0.1:{server.server_port}&scheme=http").check()
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_an_endpoint_that_never_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Place.of(f"s3://sweeps/a?endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http")
        with pytest.raises(UserError, match="reachable"):
            place.check()


def test_a_running_sweep_hears_of_a_lost_bucket_as_an_os_error(s3: str) -> None:
    place = Place.of(s3.format("a").replace("sweeps", "no-such-bucket"))
    with pytest.raises(StorageError, match="no-such-bucket"):
        place.write("x", b"")


@both
def test_checkpoints_keep_the_last_ones(place: Place) -> None:
    kept = Checkpoints(place / "one" / "trial")
    assert list(kept.newest(9)) == []
    for index in (3, 7, 12):
        kept.write(index, b"%d" % index)
    assert kept.place.names() == ["000007.pt", "000012.pt"]
    assert list(kept.newest(99)) == [(12, b"12"), (7, b"7")]
    assert list(kept.newest(11)) == [(7, b"7")] and list(kept.newest(6)) == []
    kept.write(8, b"again")  # the journal knew of no more than 7
    assert list(kept.newest(99)) == [(8, b"again"), (7, b"7")]
    kept.clear()
    assert not kept.place.exists()


def test_network_file_systems_are_recognised(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/x /net nfs4 rw 0 0\n/dev/sdb /net/me/disk ext4 rw 0 0\n"
        "me@host: /with\\040space fuse.sshfs rw 0 0\n"
    )
    answers = {"/var/x": False, "/net/me": True, "/net/me/disk/y": False, "/with space/z": True, "/nets": False}
    assert {path: on_network(Path(path), mounts) for path in answers} == answers
    assert not on_network(Path("/home"), tmp_path / "none")

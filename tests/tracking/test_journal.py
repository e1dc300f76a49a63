"""The journal: durable order, torn ends, damage, one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracking.errors import UserError
from tracking.journal import Journal, JournalError, of_kind, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def write(path: Path, count: int) -> None:
    with Journal(path) as journal:
        for number in range(count):
            journal.append("result", uid="a", value=number / 7)


def test_what_was_appended_is_read_back_exactly(path: Path) -> None:
    write(path, 5)
    events = list(read(path))
    assert [e["seq"] for e in events] == [0, 1, 2, 3, 4]
    assert [e["value"] for e in events] == [n / 7 for n in range(5)]  # floats survive bit for bit
    assert [e["time_ms"] for e in events] == sorted(e["time_ms"] for e in events)


def test_a_reopened_journal_goes_on(path: Path) -> None:
    write(path, 2)
    with Journal(path) as journal:
        assert journal.append("result", uid="b")["seq"] == 2
    assert [e["seq"] for e in read(path)] == [0, 1, 2]


@pytest.mark.parametrize("keep", [1, 5, 30])
def test_a_torn_last_line_never_counted(path: Path, keep: int) -> None:
    write(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:keep])
    assert len(list(read(path))) == 2
    with Journal(path) as journal:
        assert len(journal.events) == 2
        journal.append("again")
    assert [e["kind"] for e in read(path)] == ["result", "result", "again"]


@pytest.mark.parametrize("damage", [b"{not json}\n", b'{"seq":7,"schema":1}\n', b'[1]\n', b'{"seq":1,"schema":99}\n'])
def test_damage_elsewhere_is_an_error(path: Path, damage: bytes) -> None:
    write(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + damage + lines[2])
    with pytest.raises(JournalError, match=r"line 2|schema"):
        list(read(path))


def test_numbers_that_are_not_finite_are_refused(path: Path) -> None:
    with Journal(path) as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append("result", value=float("nan"))
        journal.append("result", value=1.0)
    assert [e["value"] for e in read(path)] == [1.0]


def test_one_writer_at_a_time(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tracking.journal import Journal; "
        "j = Journal(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        with pytest.raises(UserError, match="one driver"):
            Journal(path)
        other.kill()
    Journal(path).close()  # a dead writer holds nothing


def test_an_event_is_on_disk_when_append_returns(path: Path) -> None:
    """Killed without any chance to flush, right after append."""
    code = (
        "import os, sys; from pathlib import Path; from tracking.journal import Journal; "
        "j = Journal(Path(sys.argv[1])); j.append('result', uid='a'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert [e["uid"] for e in read(path)] == ["a"]


def test_of_kind(path: Path) -> None:
    write(path, 2)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(of_kind(events, "result", uid="a")) == 2
    assert of_kind(events, "result", uid="b") == []
    assert of_kind(events, "ended") == []
    assert os.path.getsize(path) > 0

"""A journal's file torn, damaged or unreadable: what a crash leaves never counted, and anything else is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracking.test_journal import file, write
from tracking.errors import StorageError
from tracking.journal import Journal, JournalError, held, load, read
from tracking.storage import Place


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place.of(tmp_path)


@pytest.mark.parametrize("keep", [1, 5, 30])
def test_a_torn_last_line_never_counted(here: Place, keep: int) -> None:
    write(here, 3)
    lines = file(here).read_bytes().splitlines(keepends=True)
    file(here).write_bytes(b"".join(lines[:2]) + lines[2][:keep])
    assert len(list(read(here))) == 2
    with Journal(here) as journal:
        assert len(journal.events) == 2 and journal.warnings == []
        journal.append("again")
    assert [e["kind"] for e in read(here)] == ["result", "result", "again"]


@pytest.mark.parametrize(
    "damage", [b"{not json}\n", b'{"seq":7,"schema":1}\n', b"[1]\n", b"\0\0\0\n", b'{"schema":1,"seq":1}\n']
)
def test_damage_is_told_to_readers_and_kept_aside_by_the_next_driver(here: Place, damage: bytes) -> None:
    write(here, 3)
    lines = file(here).read_bytes().splitlines(keepends=True)
    whole = lines[0] + damage + lines[2]
    file(here).write_bytes(whole)
    with pytest.raises(JournalError, match="line 2"):
        list(read(here))
    good, told = load(here)
    assert len(good) == 1 and told is not None and "line 2" in told
    with Journal(here):
        pass
    assert [path.name for path in Path(here.uri).glob("journal.*")] == ["journal.jsonl"], "opening changes nothing"
    assert file(here).read_bytes() == whole
    with Journal(here) as journal:
        assert journal.append("next")["seq"] == 1
        assert len(journal.warnings) == 1 and "line 2" in journal.warnings[0] and "the 1 events" in journal.warnings[0]
    kept = list(Path(here.uri).glob("journal.damaged-*.jsonl"))
    assert [path.read_bytes() for path in kept] == [whole]
    assert kept[0].name in journal.warnings[0]
    assert [e["kind"] for e in read(here)] == ["result", "next"]


@pytest.mark.parametrize("garbage", [b"\x89PNG\x00\x01\x02", b"words", b'{"seq":2,"kind":"x"}'])
@pytest.mark.parametrize("before", [0, 2])
def test_a_last_line_that_is_no_part_of_an_event_is_damage(here: Place, garbage: bytes, before: int) -> None:
    write(here, before)
    with file(here).open("ab") as end:
        end.write(garbage)
    with pytest.raises(JournalError, match=f"line {before + 1} "):
        list(read(here))
    assert len(load(here).events) == before
    with Journal(here) as journal:
        assert journal.append("next")["seq"] == before and len(journal.warnings) == 1
    assert len(list(read(here))) == before + 1
    assert [path.read_bytes().endswith(garbage) for path in Path(here.uri).glob("journal.damaged-*.jsonl")] == [True]


def test_nested_beyond_reason_is_no_event(here: Place) -> None:
    file(here).write_bytes(b"[" * 10**5 + b"\n")
    with pytest.raises(JournalError, match="line 1"):
        list(read(here))


@pytest.mark.parametrize("folder", [True, False])
def test_a_journal_that_cannot_be_read_is_told(here: Place, folder: bool) -> None:
    if folder:
        file(here).mkdir()
    else:
        file(here).symlink_to("/proc/self/mem")
    for act in (lambda: list(read(here)), lambda: load(here), lambda: Journal(here)):
        with pytest.raises(StorageError, match=r"journal\.jsonl"):
            act()
    assert not held(here)

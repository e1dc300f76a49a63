"""The journal in an object store: merging, late writers, claims, missing segments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tracking.test_journal import write
from tracking import segments
from tracking.journal import Journal, JournalError, load, read
from tracking.storage import Place


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.lease.SETTLE_SECONDS", 0.0)


@pytest.fixture
def bucket(s3: str, tmp_path: Path) -> Place:
    return Place.of(s3.format(f"only-{tmp_path.name}"))


def stored(place: Place) -> list[int]:
    """The first seq of every segment."""
    return [int(name.split("-")[0]) for name in (place / "journal").names()]


def test_small_segments_are_merged_on_opening_and_while_running(
    bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MERGE_EVERY", 4)
    write(bucket, 6)
    assert stored(bucket) == [0, 4, 5]
    write(bucket, 3)
    assert stored(bucket) == [0, 6, 7, 8]
    write(bucket, 0)
    assert stored(bucket) == [0]
    write(bucket, 0)
    assert [e["seq"] for e in read(bucket)] == list(range(9))


def test_large_segments_are_not_merged_again(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bucket, 3)
    write(bucket, 0)
    monkeypatch.setattr(segments, "LARGE_BYTES", 200)
    write(bucket, 2)
    write(bucket, 2)
    assert stored(bucket) == [0, 3, 5, 6]
    assert [e["seq"] for e in read(bucket)] == list(range(7))


@pytest.mark.parametrize("left", [slice(1, 4, 2), pytest.param(slice(0, None), marks=pytest.mark.slow)])
def test_an_interrupted_merge_loses_and_doubles_nothing(bucket: Place, left: slice) -> None:
    """The large one is there, and any of the small ones may still be."""
    write(bucket, 5)
    journal = bucket / "journal"
    small = {name: journal.read(name) for name in journal.names()}
    write(bucket, 0)
    for name in list(small)[left]:
        journal.write(name, small[name])
    assert [e["seq"] for e in read(bucket)] == list(range(5))
    write(bucket, 1)
    assert [e["seq"] for e in read(bucket)] == list(range(6))
    write(bucket, 0)
    assert stored(bucket) == [0]


def test_late_segments_of_a_driver_that_was_taken_over_are_ignored(bucket: Place) -> None:
    write(bucket, 3)
    line = json.dumps({"schema": 1, "seq": 3, "time_ms": 1, "kind": "late"}).encode() + b"\n"
    late = segments.Segment(3, (1, "ffffffff")).name
    with Journal(bucket) as journal:
        journal.append("mine")
        (bucket / "journal").write(late, line)
        (bucket / "journal").write(segments.Segment(4, (1, "ffffffff")).name, line.replace(b'"seq":3', b'"seq":4'))
        assert [e["kind"] for e in read(bucket)][3:] == ["mine"]
    write(bucket, 1)
    assert [e["kind"] for e in read(bucket)][3:] == ["mine", "result"]
    assert late not in (bucket / "journal").names()


def test_the_higher_claim_wins() -> None:
    def segment(first: int, epoch: int, token: str = "00000000") -> segments.Segment:
        return segments.Segment(first, (epoch, token))

    old = [segment(n, 1) for n in range(5)]
    assert segments.valid(old) == old
    assert segments.valid([*old, segment(3, 2)]) == [*old[:3], segment(3, 2)]
    assert segments.valid([*old, segment(0, 2)]) == [segment(0, 2)]
    assert segments.valid([segment(0, 1, "a0000000"), segment(0, 1, "b0000000")]) == [segment(0, 1, "b0000000")]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, b"not JSON\n"])
def test_a_missing_or_damaged_segment(bucket: Place, damage: bytes | None) -> None:
    write(bucket, 5)
    journal = bucket / "journal"
    if damage is None:
        journal.delete(journal.names()[2])
    else:
        journal.write(journal.names()[2], damage)
    with pytest.raises(JournalError):
        list(read(bucket))
    assert len(load(bucket).events) == 2
    with Journal(bucket) as opened:
        assert opened.append("next")["seq"] == 2
        assert "going on from the 2 events" in opened.warnings[0]
    assert [e["kind"] for e in read(bucket)] == ["result", "result", "next"]
    aside = [name for name in bucket.names() if name.startswith("journal.damaged-")]
    assert len(aside) == 1 and len((bucket / aside[0]).names()) >= 2

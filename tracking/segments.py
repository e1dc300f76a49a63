"""A journal in an object store, where nothing can be appended to: immutable numbered segments.

`journal/<first seq>-<epoch>-<token>.jsonl` holds one or more events; one event is one PUT, there in full or not at
all. Small segments are merged into larger ones: the large one is written first, then the small ones go, so readers
may meet both and skip what they know. Epoch and token are the claim of the driver that wrote it (lease.py): a
segment is ignored where one of a higher claim begins at the same event or before it, so that a driver which was
taken over changes nothing any more, even when its last write arrives late.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from tracking.events import Event, JournalError, Loaded, NewerSchemaError, to_event, to_line
from tracking.lease import Rank
from tracking.storage import Place

FOLDER = "journal"
NAME = re.compile(r"(\d{10,})-(\d{6,})-([0-9a-f]{8})\.jsonl")
MERGE_EVERY = 500            # events, while a sweep runs
LARGE_BYTES = 8 * 2**20      # a segment of this size is not merged again
CONNECTIONS = 8
LISTINGS = 5                 # a reader lists again where a merge took away what it was about to read


class Segment(NamedTuple):
    """One object, by its name."""

    first: int
    rank: Rank

    @property
    def name(self) -> str:
        return f"{self.first:010d}-{self.rank[0]:06d}-{self.rank[1]}.jsonl"


class Read(NamedTuple):
    """What a journal holds, and the segments that it was read from."""

    loaded: Loaded
    segments: list[Segment]
    sizes: list[int]


class Segments:
    """The folder of segments, open for one writer.

    Args:
        place: of the sweep.
    """

    def __init__(self, place: Place) -> None:
        self._sweep, self._place = place, place / FOLDER
        self._rank: Rank = (0, "")
        self._small: list[Segment] = []
        self._lines: list[bytes] = []
        self._merge_at = MERGE_EVERY
        self._pool: ThreadPoolExecutor | None = None

    def highest_epoch(self) -> int:
        """Of all drivers so far; 0 where there was none."""
        return max((segment.rank[0] for segment in _listed(self._place)), default=0)

    def load(self, rank: Rank) -> Loaded:
        """Everything up to the end or up to damage; merges what is small, and keeps damaged segments aside.

        Args:
            rank: the claim of this writer.

        Raises:
            NewerSchemaError: a later version wrote it; nothing is changed.
        """
        self._rank = rank
        (events, damage), segments, sizes = _read(self._place)
        start = _tail(segments, sizes, None if damage is None else len(events))
        merged, rest = segments[start:], _listed(self._place)
        if damage is not None:
            aside = f"journal.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
            for segment in merged:
                (self._sweep / aside).write(segment.name, self._place.read(segment.name))
            damage = f"{damage}; the segments from there on are kept in {aside}"
        if len(merged) > 1 or damage is not None:
            first = merged[0].first
            if lines := [to_line(event) for event in events[first:]]:
                self._place.write(Segment(first, rank).name, b"".join(lines))
        else:
            merged = []
        kept = set(segments) - set(merged)
        # Never what a higher claim wrote: then it is this writer that was taken over, and will hear of it.
        gone = [segment for segment in rest if segment not in kept and segment.rank < rank]
        self._forget(gone, wait=damage is not None)
        return Loaded(events, damage)

    def append(self, seq: int, line: bytes) -> None:
        """Write a segment of one event; it is durable when this returns."""
        segment = Segment(seq, self._rank)
        self._place.write(segment.name, line)
        self._small.append(segment)
        self._lines.append(line)
        if len(self._small) >= self._merge_at:
            self._merge()

    def close(self) -> None:
        """Stop deleting what was merged; the next writer goes on with it."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _merge(self) -> None:
        """One segment for many of this writer's; the first of them has its name and is replaced."""
        try:
            self._place.write(self._small[0].name, b"".join(self._lines))
        except OSError:
            self._merge_at += MERGE_EVERY  # merging can wait
            return
        self._forget(self._small[1:])
        self._small, self._lines, self._merge_at = [], [], MERGE_EVERY

    def _forget(self, segments: Iterable[Segment], wait: bool = False) -> None:
        """Delete in the background: a sweep need not wait for it, and what stays is merged or skipped later."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="journal-merge")
        jobs = [self._pool.submit(self._delete, segment) for segment in segments]
        for job in jobs if wait else ():
            job.result()

    def _delete(self, segment: Segment) -> None:
        with suppress(OSError):
            self._place.delete(segment.name)


def read(place: Place) -> Loaded:
    """The events of a sweep's journal; safe while another process writes."""
    return _read(place / FOLDER).loaded


def valid(segments: Iterable[Segment]) -> list[Segment]:
    """Those that count, in the order of their events: without the late ones of a driver that was taken over."""
    kept: list[Segment] = []
    highest: Rank = (0, "")
    # Of two that begin with the same event the higher claim comes first and hides the other.
    for segment in sorted(segments, key=lambda s: (s.first, -s.rank[0], _reversed(s.rank[1]))):
        if segment.rank >= highest:
            highest = segment.rank
            kept.append(segment)
    return kept


def _reversed(token: str) -> int:
    return -int(token, 16)


def _listed(place: Place) -> list[Segment]:
    found = (NAME.fullmatch(name) for name in place.names())
    return [Segment(int(match[1]), (int(match[2]), match[3])) for match in found if match]


def _read(place: Place) -> Read:
    """Lists again where a segment went away or one is missing: a merge may have been under way."""
    seen: list[Segment] | None = None
    for _ in range(LISTINGS):
        segments = valid(_listed(place))
        try:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                contents = list(pool.map(lambda segment: place.read(segment.name), segments))
        except FileNotFoundError:
            continue
        loaded = _joined(segments, contents, place)
        if loaded.damage is None or segments == seen:
            break
        seen = segments
    else:
        raise JournalError(f"the segments of {place} change faster than they can be read")
    return Read(loaded, segments, [len(content) for content in contents])


def _joined(segments: Sequence[Segment], contents: Sequence[bytes], place: Place) -> Loaded:
    events: list[Event] = []
    try:
        for segment, content in zip(segments, contents, strict=True):
            for number, line in enumerate(content.splitlines(keepends=True)):
                event = to_event(line, number, place / segment.name)
                if event["seq"] > len(events):
                    raise JournalError(f"{place / segment.name} must go on with seq {len(events)}, not {event['seq']}")
                if event["seq"] == len(events):
                    events.append(event)
    except NewerSchemaError:
        raise
    except JournalError as error:
        return Loaded(events, str(error))
    return Loaded(events, None)


def _tail(segments: Sequence[Segment], sizes: Sequence[int], damaged_from: int | None) -> int:
    """Where the segments begin that are to be merged: after the last large one, and before any damage."""
    start = len(segments)
    while start and sizes[start - 1] < LARGE_BYTES:
        start -= 1
    while damaged_from is not None and start and (start == len(segments) or segments[start].first > damaged_from):
        start -= 1
    return start

"""What an event of a journal looks like as one line, and reading lines back."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SCHEMA = 1
Event = dict[str, Any]
CARRIED = {"schema": int, "seq": int, "time_ms": int, "kind": str}
START = b'{"schema":'  # of every line


class JournalError(RuntimeError):
    """The journal is damaged in a place that a crash cannot explain."""


class NewerSchemaError(JournalError):
    """A later version of the code wrote it: nothing is damaged, but it cannot be read."""


class Loaded(NamedTuple):
    """What a journal holds.

    Args:
        events: up to the end, or up to the damage.
        damage: what is wrong after them; None where nothing is.
    """

    events: list[Event]
    damage: str | None


def to_line(event: Event) -> bytes:
    """One line; numbers that are not finite are refused with a ValueError."""
    return json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def torn(line: bytes) -> bool:
    """Whether a last line without an end may be what a crash left of an event; anything else is damage."""
    begun = line.rstrip(b"\0")  # of what power loss leaves some file systems keep the length alone
    return begun.startswith(START) or START.startswith(begun)


def to_event(line: bytes, number: int, where: object) -> Event:
    """The event in a whole line.

    Args:
        number: of the line in `where`, counted from 0; for the message only.

    Raises:
        JournalError: it is no event.
        NewerSchemaError: this version cannot read it.
    """
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JournalError(f"line {number + 1} of {where} is not JSON: {error}") from None
    found = event if isinstance(event, dict) else {}
    if isinstance(schema := found.get("schema"), int) and schema > SCHEMA:
        raise NewerSchemaError(f"{where} has schema {schema}; this version reads up to {SCHEMA}")
    if not all(type(found.get(name)) is kind for name, kind in CARRIED.items()):
        raise JournalError(f"line {number + 1} of {where} must carry {', '.join(CARRIED)}, but got {line[:80]!r}")
    return found

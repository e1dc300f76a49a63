"""`--or-resume`: what the words of a launch mean for a sweep that has begun already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from search.configuration import CHANGEABLE, overridden
from search.study import Comparison
from search.sweep import Sweep, handle
from tracking.errors import UserError
from tracking.journal import of_kind

LONGEST = 60  # characters of a value in a message


def changes(made: Sweep, described: Comparison) -> tuple[list[str], list[str]]:
    """What is to be overridden where the sweep goes on, and what a person should know of it.

    A field that may change and is described otherwise than at the beginning is overridden. One that is not keeps
    what `resume --set` said: that is the later word.

    Args:
        described: what the launch says now.

    Returns:
        "dotted.key=value" for `resume`, and sentences.

    Raises:
        UserError: other fields differ from those that the sweep began with.
    """
    frozen, _ = made.described()
    events = made.loaded().events
    began, now, current = _fields(frozen), _fields(described), _fields(overridden(frozen, events, ())[0])
    if now["parallel_trials"] is None:  # left open, at the beginning as well or not: what was found then holds
        now["parallel_trials"] = began["parallel_trials"]
    if fixed := [f"{key}: {_short(then)} then, {_short(new)} now" for key, then, new in _different(began, now)
                 if key.split(".")[0] not in CHANGEABLE]:
        raise UserError(
            "a sweep goes on with what it was begun with: its decisions so far depend on it", "; ".join(fixed),
            f"describe it as it was, go on with it as it is by `invsearch resume {handle(made.place)}`, or choose "
            "another --name",
        )
    if of_kind(events, "sweep_done"):
        return [], []
    words, said = [], []
    fresh = {key for key, _, _ in _different(began, now)}
    for key, before, new in _different(current, now):
        if key in fresh:
            words.append(f"{key}={json.dumps(new)}")
            said.append(f"{key} is {_short(new)} from now on, as described; it was {_short(before)}")
        else:
            said.append(f"{key} stays {_short(before)}, as `resume` was told; the sweep began with {_short(new)}")
    return words, said


def _fields(comparison: Comparison) -> dict[str, Any]:
    """As plain data; of the users' files the content counts, not where they lie."""
    data = comparison.model_dump(mode="json")
    return data | {"plugins": [file["digest"] for file in data["plugins"]]}


def _different(one: Any, other: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, and both values, of everything that differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from _different(one[name], other[name], f"{key}.{name}" if key else name)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _different(*pair, f"{key}.{number}")
    elif one != other:
        yield key, one, other


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

"""What pydantic says of one value that it refused, in words, and what to give instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tracking.errors import nearest

_CHOICES = ("enum", "literal_error")
_LISTS = ("tuple_type", "list_type", "set_type", "frozen_set_type")
_BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}


def said(fault: Mapping[str, Any]) -> str:
    """What is wrong, without the value itself."""
    kind, known = fault["type"], fault.get("ctx", {})
    if kind in _CHOICES:
        return "no word that is known here"
    if kind == "too_short":
        return "must not be empty" if known["min_length"] == 1 else f"needs {known['min_length']} or more"
    if kind in _LISTS:
        return "must be a list"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def advice(fault: Mapping[str, Any]) -> str:
    """What to give instead; empty where nothing helps that was not said."""
    kind, known, given = fault["type"], fault.get("ctx", {}), fault.get("input")
    name = next((part for part in reversed(fault["loc"]) if isinstance(part, str)), "")
    if "hint" in known:  # of a PydanticCustomError of our own
        return str(known["hint"])
    if kind in _CHOICES:
        return nearest(str(given), re.findall(r"'([^']*)'", str(known["expected"])))
    if kind == "too_short":
        return f"`{name}` takes one or more; leave out what shall have its default"
    if kind in _LISTS and isinstance(given, str):
        return f"with brackets: {name}: [{given}]"
    if kind == "finite_number":
        return f"`{name}` takes a number that is neither infinite nor nan; leave out what shall have its default"
    bounds = [f"{word} {known[key]:g}" for key, word in _BOUNDS.items() if isinstance(known.get(key), int | float)]
    return f"give `{name}` a number {' and '.join(bounds)}" if bounds else ""


def joined(hints: Iterable[str]) -> str:
    """Several hints in one line; each, and each list of known names, once."""
    found: list[str] = []
    for hint in hints:
        head, mark, listed = hint.partition("known: ")
        short = head.strip() if mark and any(listed in other for other in found) else hint
        if short and short not in found:
            found.append(short)
    return "; ".join(found)

"""One line of an examination."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is as it should be, and what was seen."""

    what: str
    good: bool
    detail: str


def guarded(what: str, body: Callable[[], str]) -> Finding:
    """Good with what the body returns, bad with what it raises."""
    try:
        return Finding(what, True, body())
    except PackageNotFoundError:
        return Finding(what, False, "not installed")
    except Exception as error:
        return Finding(what, False, f"{type(error).__name__}: {error}")

"""Where the commands print: for people with the terminal's width, for machines one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

FILE_WIDTH = 120  # where the output is no terminal


def console() -> Console:
    """The terminal's width where there is one; else wide enough for the tables. Brackets, of a path, are no markup."""
    made = Console(markup=False)
    return made if made.is_terminal else Console(width=FILE_WIDTH, markup=False)


def print_json(data: Mapping[str, Any]) -> None:
    """One object on standard output, nothing else; numbers that are not finite become null."""
    print(json.dumps(_finite(data), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    match value:
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case Mapping():
            return {str(name): _finite(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case _:
            return value

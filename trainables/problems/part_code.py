"""Which code a user's own source or wrapper is: part of the key of whatever was made with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

HOUSE = __name__.partition(".")[0]
PREFIX = "invsearch_plugin_"  # of the modules of users' files; the digest of the file follows


def own_code(parts: Sequence[object]) -> list[str]:
    """A digest of the module of each part that is not of the house, in their order.

    What was loaded by a file of before it was mended must not pass for what it loads today. Of the house's own parts
    the format of the cache answers for that, and their keys stay what they are.
    """
    modules = [type(part).__module__ for part in parts]
    return [_digest(module) for module in modules if module.partition(".")[0] != HOUSE]


@cache
def _digest(module: str) -> str:
    """Once in a process: what was imported stays what it was."""
    if module.startswith(PREFIX):
        return module.removeprefix(PREFIX)
    file = getattr(sys.modules.get(module), "__file__", None)
    return sha256(Path(file).read_bytes()).hexdigest()[:16] if file else module

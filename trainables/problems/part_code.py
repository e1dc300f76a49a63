"""Which code a user's own source or wrapper is: part of the key of whatever was made with it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

HOUSE = __name__.partition(".")[0]
PROCESS = uuid4().hex[:16]  # stands for code that nobody can read again: nothing made with it outlives this process
PREFIX = "invsearch_plugin_"  # of the modules of users' files; the digest of the file follows
_seen: dict[type, str] = {}


def own_code(parts: Sequence[object]) -> list[str]:
    """A digest of the module of each part that is not of the house, in their order.

    What was loaded by a file of before it was mended must not pass for what it loads today. Of the house's own parts
    the format of the cache answers for that, and their keys stay what they are.
    """
    kinds = [type(part) for part in parts if type(part).__module__.partition(".")[0] != HOUSE]
    for kind in kinds:
        if kind not in _seen:  # what was imported stays what it was, whatever becomes of its file
            _seen[kind] = _digest(kind)
    return [_seen[kind] for kind in kinds]


def _digest(kind: type) -> str:
    module = kind.__module__
    if module.startswith(PREFIX):
        return module.removeprefix(PREFIX)
    file = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    if file.is_file():
        return sha256(file.read_bytes()).hexdigest()[:16]
    try:  # a notebook knows its cells
        return sha256(inspect.getsource(kind).encode()).hexdigest()[:16]
    except (OSError, TypeError):
        return PROCESS

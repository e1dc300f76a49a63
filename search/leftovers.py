"""Files of an earlier report that are no part of it any more; what a person put there, or changed, stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256

from tracking.storage import Place

NAME = ".written.json"  # in the report: of every file that it wrote, the SHA-256
INSIDE = re.compile(r"([^/.][^/]*/)?[^/.][^/]*")


def manifest(digests: Mapping[str, str]) -> bytes:
    """The content of the file."""
    return json.dumps(digests, indent=1, sort_keys=True).encode()


def written(report: Place) -> dict[str, str]:
    """What the report wrote last, by name; nothing where that is not known."""
    try:
        found = json.loads(report.read(NAME))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remove(report: Place, before: Mapping[str, str]) -> None:
    """Delete what an earlier report wrote and the present one did not.

    Args:
        before: what `written` said before the present one was made.
    """
    for name in sorted(before.keys() - written(report).keys()):
        with suppress(OSError):  # it only takes up room
            if INSIDE.fullmatch(name) and sha256(report.read(name)).hexdigest() == before[name]:
                report.delete(name)

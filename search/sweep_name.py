"""What a sweep may be called, and what it is called where nobody says."""

from __future__ import annotations

import re
from datetime import datetime

from tracking.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def plain_name(text: str) -> str:
    """The text with everything that a name may not hold replaced."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "sweep"


def fresh_name(prefix: str) -> str:
    """A name that tells when the sweep began."""
    return f"{prefix}-{datetime.now():%Y%m%d-%H%M%S}"


def check_name(name: str) -> None:
    """Raises UserError where a sweep cannot be called so."""
    if not NAME.fullmatch(name):
        raise UserError("a sweep's name is made of letters, digits, `.`, `_` and `-`", name or "an empty name")

"""What a sweep may be called, and what it is called where nobody says."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from tracking.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST = 200  # characters: file systems take 255, and some names are made from this one


def plain_name(text: str) -> str:
    """The text with everything that a name may not hold replaced."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "sweep"


def fresh_name(prefix: str) -> str:
    """A name that tells when the sweep began, and is no other's that began in the same second."""
    return f"{prefix}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def check_name(name: str) -> None:
    """Raises UserError where a sweep cannot be called so."""
    if not NAME.fullmatch(name):
        raise UserError("a sweep's name is made of letters, digits, `.`, `_` and `-`", name or "an empty name")
    if len(name) > LONGEST:
        raise UserError(f"a sweep's name has at most {LONGEST} characters", f"{len(name)}: {name[:40]}...",
                        "give a shorter --name")

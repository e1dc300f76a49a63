"""Journal events -> what MLflow accepts: names, numbers and texts within its limits. Imports no MLflow."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tracking.ledger import Ledger

NAME_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 5000  # 5000 is what every kind of MLflow store takes
_FORBIDDEN = re.compile(r"[^\w\-. :/]")


def entity_name(name: str) -> str:
    """A name by MLflow's rules: letters, digits and `_-. :/`, a clean relative path, 250 characters."""
    parts = [part for part in _FORBIDDEN.sub("_", name).split("/") if part.strip(" .")]
    clean = "/".join(parts) or "_"
    if len(clean) <= NAME_LENGTH:
        return clean
    return f"{clean[: NAME_LENGTH - 9]}-{sha256(name.encode()).hexdigest()[:8]}"


def numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """The finite numbers under valid names; anything else has no place in a curve."""
    return {
        entity_name(name): float(value)
        for name, value in (metrics or {}).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def ledger_numbers(ledger: Mapping[str, Any] | None) -> dict[str, float]:
    """A ledger's flat metrics; empty for a trial that ended without one."""
    return numbers(Ledger.from_json(ledger).metrics()) if ledger else {}


def texts(values: Mapping[str, Any] | None, limit: int, prefix: str = "") -> dict[str, str]:
    """Nested settings as flat texts: {"a": {"b": 1}} -> {"a.b": "1"}; lists as JSON; cut at `limit`."""
    flat: dict[str, str] = {}
    for name, value in (values or {}).items():
        if isinstance(value, Mapping):
            flat |= texts(value, limit, f"{prefix}{name}.")
        else:
            flat[entity_name(f"{prefix}{name}")] = shorten(value, limit)
    return flat


def params(values: Mapping[str, Any] | None) -> dict[str, str]:
    return texts(values, PARAM_LENGTH)


def tags(values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, str]:
    """As `texts`, without what is None: an absent tag says unknown."""
    known = {name: value for name, value in (values or {}).items() if value is not None}
    return texts(known, TAG_LENGTH, prefix)


def shorten(value: Any, limit: int) -> str:
    """The text of a value; a cut is marked."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."

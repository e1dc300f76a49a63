"""A sweep that another version of the code began: what differs, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracking.errors import UserError
from tracking.journal import Event

# What the same seed's numbers and proposals depend on. MLflow and the commit's name do not count; the code does.
DECIDING = ("python", "torch", "torchvision", "ray", "optuna", "numpy")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, what two provenances do not share; what one of them does not know is no difference."""
    old, new = before.get("versions") or {}, now.get("versions") or {}
    moved = [name for name in DECIDING if old.get(name) and new.get(name) and old[name] != new[name]]
    found = [f"{name} {old[name]} then, {new[name]} now" for name in moved]
    if before.get("code") and now.get("code") and before["code"] != now["code"]:
        then = f" (commit {str(before['commit'])[:9]})" if before.get("commit") else ""
        today = f" (commit {str(now['commit'])[:9]})" if now.get("commit") else ""
        found.append(f"the code of invsearch: {before['code']}{then} then, {now['code']}{today} now")
    return found


def check(events: Sequence[Event], now: Mapping[str, Any], sweep: str, allowed: bool) -> list[str]:
    """What differs from the driver before.

    Raises:
        UserError: something does, and the user did not allow it.
    """
    drivers = [event for event in events if event["kind"] in ("sweep", "resumed")]
    before = drivers[-1].get("provenance") if drivers else None
    found = differences(before or {}, now)
    if found and not allowed:
        raise UserError(
            "a sweep goes on with what it was begun with, or its numbers would be mixed", "; ".join(found),
            f"restore that version, or accept the mixture by `invsearch resume {sweep} --allow-drift`",
        )
    return found

"""A sweep that another version of the code, or with other data, began: what differs, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tracking.errors import UserError
from tracking.journal import Event
from trainables.problems.spec import differing

# What the same seed's numbers and proposals depend on. MLflow and the commit's name do not count; the code does.
DECIDING = ("python", "torch", "torchvision", "ray", "optuna", "numpy")
VERSIONS_DIFFER, DATA_DIFFER = "went on although the version differs", "went on although the data differ"
DRIVERS = ("sweep", "resumed")  # the events that a driver begins with


class Drift(NamedTuple):
    """What differs from the driver before, in words.

    Args:
        versions: of the code and of what decides.
        data: of the problems.
        news: fingerprints of data that the journal does not have as the latest.
    """

    versions: list[str]
    data: list[str]
    news: dict[str, str]

    def fields(self) -> dict[str, Any]:
        """Of the `resumed` event."""
        news = {"data": self.news} if self.news else {}
        return {"drift": self.versions, **news, **({"other_data": self.data} if self.data else {})}

    def warnings(self) -> list[str]:
        """What the user accepted."""
        said = {VERSIONS_DIFFER: self.versions, DATA_DIFFER: self.data}
        return [f"{what}: {'; '.join(found)}" for what, found in said.items() if found]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, what two provenances do not share; what one of them does not know is no difference."""
    old, new = before.get("versions") or {}, now.get("versions") or {}
    moved = [name for name in DECIDING if old.get(name) and new.get(name) and old[name] != new[name]]
    found = [f"{name} {old[name]} then, {new[name]} now" for name in moved]
    if before.get("code") and now.get("code") and before["code"] != now["code"]:
        then = f" (commit {str(before['commit'])[:9]})" if before.get("commit") else ""
        today = f" (commit {str(now['commit'])[:9]})" if now.get("commit") else ""
        found.append(f"the code of invsearch: {before['code']}{then} then, {now['code']}{today} now")
    theirs, ours = before.get("installed") or {}, now.get("installed") or {}
    return found + [
        f"the code of the installed plug-in `{name}`: {theirs[name]} then, {ours[name]} now"
        for name in sorted(theirs.keys() & ours.keys()) if theirs[name] != ours[name]
    ]


def data_of(events: Sequence[Event]) -> dict[str, str]:
    """Problem -> fingerprint of its data, as the last driver that noted it found them; old journals do not tell."""
    found: dict[str, str] = {}
    for event in events:
        if event["kind"] in DRIVERS:
            found |= event.get("data") or {}
    return found


def check(
    events: Sequence[Event], now: Mapping[str, Any], data: Mapping[str, str], sweep: str, allowed: bool
) -> Drift:
    """What differs from the driver before.

    Args:
        now: this driver's provenance.
        data: fingerprints of the problems' data, as this driver finds them.

    Raises:
        UserError: something does, and the user did not allow it.
    """
    drivers = [event for event in events if event["kind"] in DRIVERS]
    before, began = drivers[-1].get("provenance") if drivers else None, data_of(events)
    news = {label: told for label, told in data.items() if began.get(label) != told}
    others = [differing(label, began[label], told) for label, told in news.items() if label in began]
    found = Drift(differences(before or {}, now), others, news)
    if (found.versions or found.data) and not allowed:
        restore = ["restore that version"] * bool(found.versions)
        restore += ["put the files back as they were, their times included"] * bool(found.data)
        raise UserError(
            "a sweep goes on with what it was begun with, or its numbers would be mixed",
            "; ".join([*found.versions, *found.data]),
            f"{' and '.join(restore)}, or accept the mixture by `invsearch resume {sweep} --allow-drift`",
        )
    return found

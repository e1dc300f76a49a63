"""What was trained once for many trials, and what it has cost, folded from a sweep's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.account import Cost
from search.wanted import Study
from tracking.journal import Event
from tracking.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Made:
    """One artefact.

    Args:
        label: "MAKER on SOURCE".
        place: where it is; a path or a URI.
        cached: whether it was there before the sweep.
        cost: of the making, whoever made it: one that was found costs what its making has cost.
    """

    key: str
    label: str
    place: str
    cached: bool
    cost: Cost


def all_made(events: Iterable[Event]) -> dict[str, Made]:
    """key -> artefact; of one that was made again the latest."""
    found: dict[str, Made] = {}
    for event in events:
        if event["kind"] == "artefact":
            cost = cost_of(event["ledger"])
            found[event["key"]] = Made(event["key"], event["label"], event["uri"], event["cached"], cost)
    return found


def cost_of(ledger: Mapping[str, Any]) -> Cost:
    """Of a ledger as JSON."""
    metrics = Ledger.from_json(ledger).metrics()
    return Cost.of(metrics, metrics["cost/flops"])


def artefact_record(one: Made) -> dict[str, Any]:
    """As plain values; everything that it has cost in full."""
    return {
        "key": one.key, "label": one.label, "place": one.place, "cached": one.cached,
        **{f"pretraining_{name}": value for name, value in one.cost.items()},
    }


def needed(events: Sequence[Event]) -> dict[Study, tuple[str, ...]]:
    """(problem, method) -> keys of what it uses, each once."""
    told: Mapping[str, Any] = next((e.get("artefacts") or {} for e in events if e["kind"] == "sweep"), {})
    found: dict[Study, tuple[str, ...]] = {}
    for study, names in told.get("needs", {}).items():
        problem, _, method = study.partition("/")
        found[problem, method] = tuple(dict.fromkeys(names.values()))
    return found


def pretraining(events: Sequence[Event]) -> dict[Study, Cost]:
    """(problem, method) -> what all that it uses has cost; what several studies use is charged to each in full."""
    known = all_made(events)
    return {
        study: sum((known[key].cost for key in keys if key in known), Cost())
        for study, keys in needed(events).items()
    }

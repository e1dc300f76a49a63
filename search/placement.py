"""Which node the next worker goes to.

Ray's strategies say how the bundles of ONE group lie to each other. A trial is one bundle, and a group of one bundle
goes to the emptiest node under every strategy (measured with three nodes of four CPUs: PACK, SPREAD, STRICT_PACK and
STRICT_SPREAD all went round). So spreading is what Ray does anyway, and packing names the node softly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table

from search.study import Placement, Resources

_ENDED = "REMOVED"


class Packed(tune.PlacementGroupFactory):  # type: ignore[misc]  # Ray's classes carry no types
    """A group that goes to the fullest node with room; to any other where that one cannot take it after all."""

    def to_placement_group(self) -> PlacementGroup:
        target = fullest(self.required_resources)
        if target is None:  # no room now: wherever some comes up
            return super().to_placement_group()
        group = placement_group(self.bundles, strategy="STRICT_PACK", _soft_target_node_id=target)
        _sent[group.id.hex()] = target
        return group


_sent: dict[str, str] = {}  # group -> node, until Ray says where it is


def placement(resources: Resources) -> tune.PlacementGroupFactory:
    """What Tune reserves for one trial."""
    kind = Packed if resources.placement is Placement.PACK else tune.PlacementGroupFactory
    return kind([resources.asked()], strategy=resources.placement.upper())


def fullest(asked: Mapping[str, float]) -> str | None:
    """The node with the fewest free CPUs among those with room."""
    free = _free()
    room = [node for node, has in free.items() if all(has.get(name, 0.0) >= asked[name] for name in asked)]
    return min(room, key=lambda node: (free[node].get("GPU", 0.0), free[node].get("CPU", 0.0), node), default=None)


def _free() -> dict[str, dict[str, float]]:
    """Per node, what no placement group holds. Ray's own count of what is free lags behind groups just made."""
    free = {node["NodeID"]: dict(node["Resources"]) for node in ray.nodes() if node["Alive"]}
    for group, entry in placement_group_table().items():
        if entry["state"] == _ENDED:
            _sent.pop(group, None)
            continue
        for number, bundle in entry["bundles"].items():
            node = entry["bundles_to_node_id"].get(number) or _sent.get(group)
            if node in free:
                _take(free[node], bundle)
    return free


def _take(has: dict[str, float], bundle: Mapping[str, Any]) -> None:
    for name, amount in bundle.items():
        has[name] = has.get(name, 0.0) - amount

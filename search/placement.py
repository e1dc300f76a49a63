"""Which node the next worker goes to.

Ray's strategies say how the bundles of ONE group lie to each other. A trial is one bundle, and a group of one bundle
goes to the emptiest node under every strategy (measured with three nodes of four CPUs: PACK, SPREAD, STRICT_PACK and
STRICT_SPREAD all went round). So spreading is what Ray does anyway, and packing names the node softly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import ray
from ray import tune
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table

from search.settings import Placement, Resources

_ENDED = "REMOVED"
FRESH_SECONDS = 0.5  # a look at the cluster serves this long,
SHARE = 0.05         # and longer where looking would take more than this share of the driver's time


class Packed(tune.PlacementGroupFactory):  # type: ignore[misc]  # Ray's classes carry no types
    """A group that goes to the fullest node with room; to any other where that one cannot take it after all."""

    def to_placement_group(self) -> PlacementGroup:
        occupancy = _occupancy(ray.get_runtime_context().gcs_address)
        target = occupancy.fullest(self.required_resources)
        if target is None:  # no choice, or no room now: wherever some comes up
            return super().to_placement_group()
        group = placement_group(self.bundles, strategy="STRICT_PACK", _soft_target_node_id=target)
        occupancy.send(group.id.hex(), target, self.required_resources)
        return group


class Occupancy:
    """What no placement group holds, per node, as of the last look and with what was sent since.

    Ray's own count of what is free lags behind groups just made, so groups are counted; and it lists all groups that
    ever were, so a look takes ever longer (75 us for each trial so far), and is not repeated for every trial.

    Args:
        nodes, groups: what Ray says.
        clock: in seconds.
    """

    def __init__(
        self, nodes: Callable[[], list[dict[str, Any]]] = ray.nodes,
        groups: Callable[[], dict[str, Any]] = placement_group_table, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes, self._groups, self._clock = nodes, groups, clock
        self._free: dict[str, dict[str, float]] = {}
        self._sent: dict[str, str] = {}  # group -> node, until Ray says where it is
        self._next_look = -float("inf")

    def fullest(self, asked: Mapping[str, float]) -> str | None:
        """Of those with room, the node with the fewest free GPUs, then CPUs; None where there is nothing to choose."""
        if self._clock() >= self._next_look:
            self._look()
        if len(self._free) == 1:
            return None
        free = self._free
        room = [node for node, has in free.items() if all(has.get(name, 0.0) >= asked[name] for name in asked)]
        return min(room, key=lambda node: (free[node].get("GPU", 0.0), free[node].get("CPU", 0.0), node), default=None)

    def send(self, group: str, node: str, asked: Mapping[str, float]) -> None:
        """A group is on its way to a node."""
        self._sent[group] = node
        _take(self._free[node], asked)

    def _look(self) -> None:
        began = self._clock()
        self._free = {node["NodeID"]: dict(node["Resources"]) for node in self._nodes() if node["Alive"]}
        if len(self._free) > 1:
            self._count_groups()
        ended = self._clock()
        self._next_look = ended + max(FRESH_SECONDS, (ended - began) / SHARE)

    def _count_groups(self) -> None:
        for group, entry in self._groups().items():
            if entry["state"] == _ENDED:
                self._sent.pop(group, None)
                continue
            for number, bundle in entry["bundles"].items():
                node = entry["bundles_to_node_id"].get(number) or self._sent.get(group)
                if node in self._free:
                    _take(self._free[node], bundle)


@lru_cache(1)
def _occupancy(address: str) -> Occupancy:
    """Of the cluster that this process is connected to."""
    return Occupancy()


def placement(resources: Resources) -> tune.PlacementGroupFactory:
    """What Tune reserves for one trial."""
    kind = Packed if resources.placement is Placement.PACK else tune.PlacementGroupFactory
    return kind([resources.asked()], strategy=resources.placement.upper())


def _take(has: dict[str, float], bundle: Mapping[str, Any]) -> None:
    for name, amount in bundle.items():
        has[name] = has.get(name, 0.0) - amount

"""Packing: the fullest node with room, by a look at the cluster that does not cost more the longer a sweep runs."""

from __future__ import annotations

from typing import Any

from search.placement import FRESH_SECONDS, SHARE, Occupancy

ONE = {"CPU": 1.0}


class Cluster:
    """Nodes with so many CPUs, groups that hold some, and a clock that looking moves."""

    def __init__(self, *cpus: float, look_seconds: float = 0.0) -> None:
        self.cpus, self.groups, self.now, self.looks, self.look_seconds = cpus, dict[str, Any](), 0.0, 0, look_seconds

    def occupancy(self) -> Occupancy:
        return Occupancy(self.nodes, self.table, lambda: self.now)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": f"n{i}", "Alive": True, "Resources": {"CPU": cpus}} for i, cpus in enumerate(self.cpus)]

    def table(self) -> dict[str, Any]:
        self.looks += 1
        self.now += self.look_seconds
        return self.groups

    def hold(self, group: str, node: str | None, state: str = "CREATED", cpus: float = 1.0) -> None:
        nodes = {} if node is None else {0: node}
        self.groups[group] = {"state": state, "bundles": {0: {"CPU": cpus}}, "bundles_to_node_id": nodes}


def test_the_fullest_node_with_room_is_taken() -> None:
    cluster = Cluster(4.0, 4.0, 4.0)
    cluster.hold("a", "n1", cpus=2.0)
    cluster.hold("b", "n2", cpus=4.0)
    cluster.hold("c", "n0", "REMOVED", cpus=4.0)
    assert cluster.occupancy().fullest(ONE) == "n1"
    assert cluster.occupancy().fullest({"CPU": 3.0}) == "n0"
    assert cluster.occupancy().fullest({"CPU": 5.0}) is None


def test_what_was_sent_is_counted_before_ray_knows_of_it() -> None:
    cluster = Cluster(2.0, 2.0)
    room, sent = cluster.occupancy(), []
    for group in "abcd":
        node = room.fullest(ONE)
        assert node is not None
        room.send(group, node, ONE)
        sent.append(node)
    assert sent == ["n0", "n0", "n1", "n1"] and room.fullest(ONE) is None and cluster.looks == 1
    cluster.hold("a", None)  # made, and not yet anywhere
    cluster.now += 2 * FRESH_SECONDS
    assert room.fullest({"CPU": 2.0}) == "n1"  # a counts for the node that it was sent to, the others are gone


def test_looks_take_a_bounded_share_of_time() -> None:
    cluster = Cluster(2.0, 2.0, look_seconds=1.0)
    room = cluster.occupancy()
    for _ in range(1000):
        room.fullest(ONE)
        cluster.now += 0.1
    assert cluster.looks == round(cluster.now * SHARE / (1 + SHARE))
    quick = Cluster(2.0, 2.0)  # negative control: cheap looks are repeated as often as is of use
    room = quick.occupancy()
    for _ in range(1000):
        room.fullest(ONE)
        quick.now += FRESH_SECONDS
    assert quick.looks == 1000


def test_one_node_leaves_no_choice_and_its_groups_are_not_listed() -> None:
    cluster = Cluster(4.0)
    assert cluster.occupancy().fullest(ONE) is None and cluster.looks == 0

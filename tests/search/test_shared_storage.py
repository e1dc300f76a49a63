"""Nodes that do not see the storage: refused before a sweep starts, told once where they join later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search import nodes
from search.shared_storage import Newcomers, check_storage
from tests.support.ray_nodes import node
from tracking.errors import StorageError, UserError
from tracking.storage import Place


class Cluster:
    """Nodes whose side runs here: each has the folder that it sees at the storage's path, and may take its time.

    Args:
        place: the storage, as the driver sees it.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.known = [node(1, CPU=4.0)]
        self.sees: dict[str, Place] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []

    def join(self, number: int, sees: Place | None = None) -> dict[str, Any]:
        """A node more, with the storage or with something else in its place."""
        joined = node(number, CPU=4.0)
        self.known.append(joined)
        self.sees[nodes.name(joined)] = sees or self.place
        return joined

    def send(self, body: Any, to: Mapping[str, Any], uri: str, word: str) -> Any:
        """The answer itself stands for Ray's reference to it."""
        name = nodes.name(to)
        self.asked.append(name)
        try:
            return name, body(uri.replace(self.place.uri, self.sees.get(name, self.place).uri), word)
        except Exception as error:
            return name, error

    def received(self, reference: Any) -> Any:
        name, answer = reference
        return None if name in self.silent else answer


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(Place.of(tmp_path / "shared"))
    monkeypatch.setattr(nodes.ray, "nodes", lambda: made.known)
    monkeypatch.setattr(nodes, "send", made.send)
    monkeypatch.setattr(nodes, "received", made.received)
    monkeypatch.setattr(nodes.ray, "get", lambda reference, timeout: got(reference))
    return made


def got(reference: Any) -> Any:
    if isinstance(reference[1], Exception):
        raise reference[1]
    return reference[1]


def left(place: Place) -> list[Path]:
    """Hidden files count."""
    assert place.local is not None
    return list(place.local.iterdir()) if place.local.exists() else []


def test_a_node_with_another_folder_is_refused_by_name(cluster: Cluster, tmp_path: Path) -> None:
    cluster.join(2)
    assert check_storage(cluster.place) == {each["NodeID"] for each in cluster.known}
    assert not left(cluster.place)
    cluster.join(3, Place.of(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="the storage must be seen by all nodes") as told:
        check_storage(cluster.place)
    assert "host3 (10.0.0.3" in str(told.value) and "host1" not in str(told.value)
    assert not left(cluster.place)


def test_a_storage_that_takes_and_hides_what_a_node_writes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a copy made before: it has the driver's marker, and is another folder."""
    cluster.join(2)
    monkeypatch.setattr(nodes, "ask", lambda body, *rest: {"far": "node-unseen"})
    with pytest.raises(UserError, match="not seen from here"):
        check_storage(cluster.place)


def test_the_drivers_own_node_is_not_asked_alone(cluster: Cluster) -> None:
    assert check_storage(cluster.place) == {cluster.known[0]["NodeID"]} and not cluster.asked
    cluster.known[0]["Resources"]["CPU"] = 0.0  # a head that runs no trials, and the only node that does is elsewhere
    far = cluster.join(2)
    assert check_storage(cluster.place) == {far["NodeID"]} and cluster.asked == [nodes.name(far)]


def watching(cluster: Cluster, clock: list[float] | None = None) -> Newcomers:
    return Newcomers(cluster.place, check_storage(cluster.place), lambda: (clock or [0.0])[0])


def test_a_node_that_joins_and_sees_the_storage_is_asked_once_and_nothing_is_said(cluster: Cluster) -> None:
    newcomers = watching(cluster)
    assert newcomers.look() == [] and not cluster.asked
    joined = cluster.join(2)
    assert [newcomers.look(), newcomers.look()] == [[], []]
    assert cluster.asked == [nodes.name(joined)]
    assert not left(cluster.place)


def test_a_node_that_joins_and_does_not_is_told_once_with_its_address(cluster: Cluster, tmp_path: Path) -> None:
    newcomers = watching(cluster)
    cluster.join(2)
    cluster.join(3, Place.of(tmp_path / "elsewhere"))
    (told,) = newcomers.look()
    assert "host3 (10.0.0.3" in told and "what was written from here is not seen there" in told
    assert cluster.place.uri in told and "mount the storage" in told and "host2" not in told
    assert newcomers.look() == [] and len(cluster.asked) == 2
    assert not left(cluster.place)
    cluster.join(4, Place.of(tmp_path / "elsewhere"))  # each has a word of its own
    (told,) = newcomers.look()
    assert "host4" in told


def test_an_answer_is_waited_for_without_waiting(cluster: Cluster) -> None:
    """A mount that hangs never answers; then that is what is told."""
    clock = [0.0]
    newcomers, joined = watching(cluster, clock), cluster.join(2)
    cluster.silent.add(nodes.name(joined))
    assert newcomers.look() == []
    clock[0] = nodes.NODE_SECONDS - 1
    assert newcomers.look() == []
    clock[0] = nodes.NODE_SECONDS + 1
    (told,) = newcomers.look()
    assert "no answer within 60 s" in told
    assert newcomers.look() == [] and not left(cluster.place)


def test_of_a_node_that_has_left_again_nothing_is_said(cluster: Cluster, tmp_path: Path) -> None:
    newcomers, joined = watching(cluster), cluster.join(2, Place.of(tmp_path / "elsewhere"))
    cluster.silent.add(nodes.name(joined))
    assert newcomers.look() == []
    cluster.silent.clear()
    joined["Alive"] = False
    assert newcomers.look() == []


def test_a_storage_that_fails_here_is_no_fault_of_the_node(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    newcomers, joined = watching(cluster), cluster.join(2)
    write, failing = Place.write, [True]

    def flaky(self: Place, name: str, data: bytes) -> None:
        if failing[0]:
            raise StorageError("a sweep's storage must stay usable", self)
        write(self, name, data)

    monkeypatch.setattr(Place, "write", flaky)
    assert newcomers.look() == [] and not cluster.asked
    failing[0] = False
    assert newcomers.look() == [] and cluster.asked == [nodes.name(joined)]

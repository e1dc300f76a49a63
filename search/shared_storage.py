"""Does every node see the storage? All are asked before a sweep starts, and each that joins later beside the sweep."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from search import nodes
from tracking.errors import StorageError, UserError
from tracking.storage import Place


def check_storage(place: Place) -> frozenset[str]:
    """Every node reads what the driver wrote, and the driver reads what every node wrote.

    Where there is one node only, it is the driver's own and there is nothing to ask.

    Returns:
        The ids of the nodes that see it.

    Raises:
        UserError: a node sees another folder at this path, or cannot reach the object store.
    """
    here = frozenset(str(node["NodeID"]) for node in nodes.alive())
    if nodes.alone():
        return here
    with Mark(place) as mark:
        for node, answer in nodes.ask(sign, *mark.told).items():
            wrong = mark.wrong(answer)
            if wrong is not None:
                raise UserError(
                    "the storage must be seen by all nodes", f"{place} on {node}: {wrong}",
                    "give a --root on a shared file system that is mounted at the same path everywhere, or "
                    "s3://bucket/folder with credentials on every node",
                )
    return here


class Mark:
    """A folder for a moment, in which the driver and nodes show each other that they see the same place.

    Raises:
        StorageError: the driver itself cannot write there.
    """

    def __init__(self, place: Place) -> None:
        self._word = f".nodes-{uuid.uuid4().hex}"
        self._shared = place / self._word
        self._shared.write("driver", self._word.encode())

    def __enter__(self) -> Mark:
        return self

    def __exit__(self, *raised: object) -> None:
        with suppress(StorageError):  # what stays is hidden and small
            self._shared.delete()

    @property
    def told(self) -> tuple[str, str]:
        """The arguments of `sign`."""
        return self._shared.uri, self._word

    def wrong(self, answer: object) -> str | None:
        """What a node's answer tells against it; None where both see the same.

        Args:
            answer: what `sign` returned there, or the error that it raised.
        """
        if isinstance(answer, Exception):
            return (str(answer).strip().splitlines() or [type(answer).__name__])[-1]
        return None if self._shared.exists(str(answer)) else "it wrote a file there that is not seen from here"


def sign(uri: str, word: str) -> str:
    """On a node: read the driver's marker, write an own one, and say what that is called."""
    place = Place.of(uri)
    try:
        same = place.read("driver") == word.encode()
    except FileNotFoundError:
        same = False
    if not same:
        raise FileNotFoundError("what was written from here is not seen there")
    own = f"node-{uuid.uuid4().hex}"
    place.write(own, b"")
    return own


@dataclass(frozen=True, slots=True)
class _Question:
    node: Mapping[str, Any]
    mark: Mark
    answer: Any  # Ray's reference to it
    since: float


class Newcomers:
    """Puts the question of `check_storage` to every node that was not there then, and waits for no answer.

    Ray gives trials to a node from its first second, and nothing that keeps them off is as simple as saying so:
    whoever runs the sweep hears of each such node once.

    Args:
        place: where the sweep's trials keep their state.
        known: ids of the nodes that need not be asked.
        clock: monotonic seconds.
    """

    def __init__(self, place: Place, known: frozenset[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._place, self._known, self._clock = place, set(known), clock
        self._open: list[_Question] = []

    def look(self) -> list[str]:
        """Ask those that are new; a warning for each that is known since the last look not to see the storage."""
        here = {str(node["NodeID"]): node for node in nodes.alive()}
        with suppress(StorageError):  # that is not the node's fault; it is asked at the next look
            for node_id in here.keys() - self._known:
                self._ask(here[node_id])
        wrong = [(question.node, self._wrong(question)) for question in list(self._open)]
        return [self._warning(node, said) for node, said in wrong if said is not None and node["NodeID"] in here]

    def _ask(self, node: Mapping[str, Any]) -> None:
        mark = Mark(self._place)
        self._open.append(_Question(node, mark, nodes.send(sign, node, *mark.told), self._clock()))
        self._known.add(str(node["NodeID"]))

    def _wrong(self, question: _Question) -> str | None:
        """What is wrong with a node; None as long as nothing is known."""
        answer = nodes.received(question.answer)
        if answer is None and self._clock() - question.since < nodes.NODE_SECONDS:
            return None
        self._open.remove(question)
        with question.mark as mark:
            try:
                return f"no answer within {nodes.NODE_SECONDS:.0f} s" if answer is None else mark.wrong(answer)
            except StorageError:
                self._known.discard(str(question.node["NodeID"]))  # to be asked again
                return None

    def _warning(self, node: Mapping[str, Any], said: str) -> str:
        return (
            f"node {nodes.name(node)} has joined and has not shown that it sees {self._place}, where trials keep their "
            f"state ({said}): trials that go there fail, or are begun again elsewhere; mount the storage there at the "
            "same path, give that node the credentials, or take it out of the cluster"
        )

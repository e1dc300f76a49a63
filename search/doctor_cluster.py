"""What `invsearch doctor` asks of Ray and of every node: code, versions, storage, clocks, GPUs, and who may connect."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import ray

from search import nodes
from search.cluster import dashboard
from search.finding import Finding, guarded
from search.shared_storage import check_storage
from tracking.storage import Place

CLOCK_SECONDS = 2.0  # a lease on a sweep, MLflow's times and the limits bear that much
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN_MODE = "RAY_AUTH_MODE"  # set in a process that shows a token


def examine(base: Place, names_resolve: Any) -> Iterator[Finding]:
    """Every check of a Ray session that is open; each asks all nodes at once.

    Args:
        base: where sweeps live.
        names_resolve: run on each node, tells where it has the four packages from.
    """
    yield guarded("who may connect to Ray", _access)
    yield guarded("names resolve here (workers)", lambda: _everywhere(nodes.ask(names_resolve)))
    yield guarded("versions are equal on all nodes", lambda: versions(nodes.inventory(), nodes.ask(nodes.inventory)))
    yield guarded("storage is seen by all nodes", lambda: _shared(base))
    yield guarded("clocks of all nodes", lambda: clocks(nodes.clocks()))
    yield guarded("GPUs of all nodes", lambda: _everywhere(nodes.ask(nodes.gpus, having="GPU")))


def versions(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Equal ones: a trial would come out differently on another node.

    Raises:
        RuntimeError: a node differs from the driver, or did not answer.
    """
    _raise_first(there)
    for node, found in there.items():
        odd = [f"{name} {found.get(name)} (here {here[name]})" for name in here if found.get(name) != here[name]]
        if odd:
            raise RuntimeError(f"{node} has {', '.join(odd)}")
    return ", ".join(f"{name} {version}" for name, version in here.items()) + f" on {_count(there)}"


def clocks(found: Mapping[str, nodes.Clock]) -> str:
    """Close to the driver's, as far as that can be told.

    Raises:
        RuntimeError: one is surely too far off, or none answered.
    """
    if not found:
        raise RuntimeError("no node answered")
    for node, clock in found.items():
        if abs(clock.ahead_seconds) - clock.known_to_seconds > CLOCK_SECONDS:
            word = "ahead of" if clock.ahead_seconds > 0 else "behind"
            raise RuntimeError(
                f"{node} is {abs(clock.ahead_seconds):.1f} s {word} this machine; let NTP set the clocks of all nodes"
            )
    worst = max(found.values(), key=lambda clock: abs(clock.ahead_seconds))
    return f"within {abs(worst.ahead_seconds):.3f} s (known to {worst.known_to_seconds:.3f} s) on {_count(found)}"


def _shared(base: Place) -> str:
    if nodes.alone():
        return f"{base}: one node, nothing to compare"
    return f"{base} on {len(check_storage(base))} nodes"


def _access() -> str:
    address = str(ray.get_runtime_context().gcs_address)
    host = address.rpartition(":")[0].strip("[]")
    token = os.environ.get(TOKEN_MODE, "").lower() == "token"
    guard = "this driver shows a token" if token else "no token: whoever reaches the port may run code there"
    reach = "this machine only" if host in LOOPBACK else "the network"
    shown = dashboard()
    return f"{address}, from {reach}; {guard}" + (f"; dashboard {shown}" if shown else "")


def _everywhere(answers: Mapping[str, Any]) -> str:
    """All answers; equal ones once."""
    _raise_first(answers)
    if not answers:
        return "none"
    different = sorted({str(answer) for answer in answers.values()})
    if len(different) == 1:
        return f"{different[0]} on {_count(answers)}"
    return "; ".join(f"{node}: {answer}" for node, answer in answers.items())


def _raise_first(answers: Mapping[str, Any]) -> None:
    for node, answer in answers.items():
        if isinstance(answer, Exception):
            lines = str(answer).strip().splitlines() or [type(answer).__name__]
            raise RuntimeError(f"{node}: {lines[-1]}")


def _count(found: Mapping[str, Any]) -> str:
    return "1 node" if len(found) == 1 else f"{len(found)} nodes"

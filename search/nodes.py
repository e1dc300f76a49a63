"""Asking every node of a cluster: does it see the storage, what is installed there, what time has it?"""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tracking.errors import UserError
from tracking.provenance import code_digest
from tracking.storage import Place

T = TypeVar("T")
NODE_SECONDS = 60.0  # for the answer of one node; a worker starts and imports there first
PACKAGES = ("ray", "torch", "optuna", "numpy", "pydantic")
ROUNDS = 3           # the clock is read so often; the fastest answer tells it best


@dataclass(frozen=True, slots=True)
class Clock:
    """A node's clock against the driver's.

    Args:
        ahead_seconds: by how much it is ahead.
        known_to_seconds: how well that is known: half of the time that the answer took.
    """

    ahead_seconds: float
    known_to_seconds: float


def alive(having: str = "CPU") -> list[Mapping[str, Any]]:
    """The nodes that have some of a resource; without CPUs a node runs no trial."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(having, 0) > 0]


def ask(body: Callable[..., T], *arguments: Any, having: str = "CPU") -> dict[str, T | Exception]:
    """Run a function once on every node, beside whatever runs there; by the node's name, its answer or its error.

    Args:
        having: nodes without this resource are not asked.
    """
    remote = ray.remote(num_cpus=0, max_retries=0)(body)
    answers: dict[str, Any] = {}
    for node in alive(having):
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers[name(node)] = remote.options(scheduling_strategy=here).remote(*arguments)
    found: dict[str, T | Exception] = {}
    deadline = time.monotonic() + NODE_SECONDS
    for node_name, answer in answers.items():
        try:
            found[node_name] = ray.get(answer, timeout=max(0.1, deadline - time.monotonic()))
        except Exception as error:
            found[node_name] = error
    return found


def name(node: Mapping[str, Any]) -> str:
    """How a node is called in messages: its host and address, and a piece of its id, for hosts with several raylets."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"


def check_storage(place: Place) -> None:
    """Every node reads what the driver wrote, and the driver reads what every node wrote.

    Where there is one node only, it is the driver's own and there is nothing to ask.

    Raises:
        UserError: a node sees another folder at this path, or cannot reach the object store.
    """
    if len(alive()) < 2:
        return
    sign = f".nodes-{uuid.uuid4().hex}"
    shared = place / sign
    try:
        shared.write("driver", sign.encode())
        for node, answer in ask(_sign, shared.uri, sign).items():
            if isinstance(answer, Exception):
                raise _unshared(place, node, str(answer).strip().splitlines()[-1])
            if isinstance(answer, str) and not shared.exists(answer):
                raise _unshared(place, node, "it wrote a file there that is not seen from here")
    finally:
        shared.delete()


def _sign(uri: str, sign: str) -> str:
    """On a node: read the driver's marker, write an own one, and say what that is called."""
    place = Place.of(uri)
    try:
        same = place.read("driver") == sign.encode()
    except FileNotFoundError:
        same = False
    if not same:
        raise FileNotFoundError("what was written from here is not seen there")
    own = f"node-{uuid.uuid4().hex}"
    place.write(own, b"")
    return own


def _unshared(place: Place, node: str, said: str) -> UserError:
    return UserError(
        "the storage must be seen by all nodes", f"{place} on {node}: {said}",
        "give a --root on a shared file system that is mounted at the same path everywhere, or s3://bucket/folder "
        "with credentials on every node",
    )


def inventory() -> dict[str, Any]:
    """On a node: what is installed there, as far as a trial could come out differently for it."""
    found: dict[str, Any] = {"python": platform.python_version(), "own code": code_digest()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except Exception:
            found[package] = "missing"
    return found


def gpus() -> str:
    """On a node that Ray gives GPUs: those that torch finds there.

    Raises:
        RuntimeError: torch finds none.
    """
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # a task without a GPU is shown none
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("Ray has GPUs there and torch finds none: is torch's build for CUDA, and the driver there?")
    return ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))


def _now() -> float:
    return time.time()


def clocks() -> dict[str, Clock]:
    """Every node's clock against the driver's; a node that does not answer is left out."""
    remote = ray.remote(num_cpus=0, max_retries=0)(_now)
    found: dict[str, Clock] = {}
    for node in alive():
        reader = remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        readings = []
        for _ in range(ROUNDS):
            began = time.time()
            try:
                there = float(ray.get(reader.remote(), timeout=NODE_SECONDS))
            except Exception:
                break
            took = time.time() - began
            readings.append(Clock(there - began - took / 2, took / 2))
        if readings:
            found[name(node)] = min(readings, key=lambda clock: clock.known_to_seconds)
    return found

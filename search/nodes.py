"""Asking every node of a cluster: what is installed there, which GPUs has it, what time is it there?"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tracking.provenance import code_digest

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
    answers = {name(node): send(body, node, *arguments) for node in alive(having)}
    found: dict[str, T | Exception] = {}
    deadline = time.monotonic() + NODE_SECONDS
    for node_name, answer in answers.items():
        try:
            found[node_name] = ray.get(answer, timeout=max(0.1, deadline - time.monotonic()))
        except Exception as error:
            found[node_name] = error
    return found


def send(body: Callable[..., Any], node: Mapping[str, Any], *arguments: Any) -> Any:
    """Have a function run once on a node, beside whatever runs there; Ray's reference to the answer to come."""
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(body).options(scheduling_strategy=here).remote(*arguments)


def received(reference: Any) -> Any:
    """What a node answered, or its error; None as long as neither is there."""
    if not ray.wait([reference], timeout=0)[0]:
        return None
    try:
        return ray.get(reference)
    except Exception as error:
        return error


def name(node: Mapping[str, Any]) -> str:
    """How a node is called in messages: its host and address, and a piece of its id, for hosts with several raylets."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"


def alone() -> bool:
    """Whether the driver's node is the only one; the head of a cluster is one that may have no CPUs to give."""
    return sum(bool(node["Alive"]) for node in ray.nodes()) < 2


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

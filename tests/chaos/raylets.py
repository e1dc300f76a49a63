"""Several raylets on one machine, each a node of a cluster; one can be killed and another one joins."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.chaos import victims
from tests.chaos.plan import Kill, Victim
from tests.chaos.trial import PACE_VARIABLE


class Raylets:
    """A head without slots, which drivers connect to, and nodes of one slot each."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes = [self._join() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill(self, kill: Kill) -> None:
        """One node goes: its raylet alone, or all of its processes."""
        node = self._nodes.pop(kill.of(range(len(self._nodes))))
        if kill.victim is Victim.RAYLET:
            raylet = node.all_processes["raylet"][0].process
            victims.kill(raylet.pid)
            raylet.wait()
        self._cluster.remove_node(node, allow_graceful=False)

    def replace(self) -> None:
        """A fresh node joins."""
        self._nodes.append(self._join())

    def close(self) -> None:
        self._cluster.shutdown()

    def _join(self) -> Any:
        return self._cluster.add_node(num_cpus=1)


@contextmanager
def raylets(nodes: int, pace: float) -> Iterator[Raylets]:
    """The cluster, gone afterwards.

    Args:
        pace: seconds per slice; workers have the environment of the process that started their raylet.
    """
    # A folder of its own: Ray notes the address of the last cluster in the common one, where others would find it.
    # A short one: the path of a socket has at most 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv(PACE_VARIABLE, str(pace))
        made = Raylets(nodes)
        try:
            yield made
        finally:
            made.close()
            del made
            gc.collect()  # Ray leaves a socket open, and the complaint about it must not come in another test

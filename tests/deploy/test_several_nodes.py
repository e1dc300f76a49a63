"""On three raylets of this machine and one with a file system of its own: all facts come from one run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Facts = dict[str, Any]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    folder = tmp_path_factory.mktemp("several")
    built = folder / "wheel"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built], cwd=ROOT, check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "deploy" / "several_nodes.py", folder, next(built.glob("*.whl"))],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=850,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: Facts = json.loads(done.stdout.splitlines()[-1])
    return found


def test_trials_fit_into_nodes_and_not_into_their_sum(facts: Facts) -> None:
    assert facts["slots"] == [6, 3, 1]  # of one CPU, of two, of the custom resource
    assert "a trial asks for 3 CPU" in facts["infeasible"] and "2 x (2 CPU)" in facts["infeasible"]


def test_pack_fills_nodes_and_spread_empties_them(facts: Facts) -> None:
    assert facts["pack"] == [2, 2]       # four trials on two of three nodes
    assert facts["spread"] == [1, 1, 1]  # three trials


def test_every_node_has_its_own_data_made_once(facts: Facts) -> None:
    assert len(facts["caches"]) == len(set(facts["caches"])) == 3
    assert facts["built"] == ["1", "1", "1"]


def test_storage_is_compared(facts: Facts) -> None:
    assert facts["shared"] is None
    if facts["hidden"] == "skip":
        pytest.skip("no mount namespaces here")
    assert "the storage must be seen by all nodes" in facts["hidden"]


def test_a_node_that_joins_without_the_storage_is_told_once_and_the_sweep_goes_on(facts: Facts) -> None:
    if not facts["joined"]["apart"]:
        pytest.skip("no mount namespaces here")
    (told,) = facts["joined"]["told"]
    assert "what was written from here is not seen there" in told and socket.gethostname() in told
    assert facts["joined"]["code"] == 0


def test_the_doctor_is_content(facts: Facts) -> None:
    assert len(facts["doctor"]) == 6 and all(facts["doctor"].values()), facts["doctor"]


@pytest.mark.parametrize("how", ["shipped", "wheel"])
def test_workers_run_what_the_driver_brought(facts: Facts, how: str) -> None:
    """All three from one folder of Ray's, which is not where the package is installed."""
    (where,) = facts[how]
    assert "runtime_resources" in where and not where.startswith(str(ROOT))


def test_a_sweep_whose_only_node_left_is_told_and_goes_on_when_it_is_back(facts: Facts) -> None:
    assert "1 CPU, 1 fast; the nodes have 2 x (2 CPU)" in facts["leaving"]["said"]
    print(f"told after {facts['leaving']['told_seconds']:.1f} s")
    assert facts["leaving"]["code"] == 0

"""Arrays once per node: built once, mapped read-only, never half finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainables.problems.store import Arrays, cached, content_key

ROOT = Path(__file__).resolve().parents[3]


def make() -> Arrays:
    return {"x": np.arange(10), "y": np.ones((2, 3), np.float32)}


def test_round_trip_is_a_read_only_map(tmp_path: Path) -> None:
    arrays = cached(tmp_path / "new", "key", make)
    assert set(arrays) == {"x", "y"}
    assert all(isinstance(array, np.memmap) for array in arrays.values())
    assert np.array_equal(arrays["x"], np.arange(10))
    with pytest.raises(ValueError, match="read-only"):
        arrays["x"][0] = 1


def test_made_once(tmp_path: Path) -> None:
    cached(tmp_path, "key", make)
    cached(tmp_path, "key", lambda: pytest.fail("made twice"))


def test_failure_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail() -> Arrays:
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="fire"):
        cached(tmp_path, "key", fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.lock"]
    assert "x" in cached(tmp_path, "key", make)


def test_leftovers_of_a_killed_builder_are_removed_and_not_read(tmp_path: Path) -> None:
    partial = tmp_path / "key.partial-1"
    partial.mkdir()
    np.save(partial / "x.npy", np.zeros(3))
    assert len(cached(tmp_path, "key", make)["x"]) == 10
    assert not partial.exists()


SLOW_BUILD = """
import sys, time
from pathlib import Path
import numpy as np
from trainables.problems.store import cached

folder = Path(sys.argv[1])

def slow():
    with (folder / "builders").open("a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    return {"x": np.arange(10)}

assert len(cached(folder / "cache", "key", slow)["x"]) == 10
"""


def test_processes_that_start_together_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_BUILD, str(tmp_path)]
    workers = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert (tmp_path / "builders").read_text() == "built\n"


def test_key_depends_on_content_not_on_order() -> None:
    assert content_key({"a": 1, "b": 2}, 3) == content_key({"b": 2, "a": 1}, 3)
    assert content_key({"a": 1}, 3) != content_key({"a": 1}, 4)

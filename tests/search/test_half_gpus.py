"""Trials that ask for half a GPU share one, two at a time; those that ask for a whole one do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.runner import ExitCode

ROOT = Path(__file__).resolve().parents[2]
Facts = dict[str, Any]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """One run on one declared GPU and two CPUs."""
    folder = tmp_path_factory.mktemp("half")
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "search" / "half_gpus.py", folder], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=280,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: Facts = json.loads(done.stdout.splitlines()[-1])
    return found


def most_at_once(slices: list[dict[str, Any]]) -> int:
    """How many workers were in the middle of a slice at the same moment."""
    return max(
        len({other["pid"] for other in slices if other["began"] <= each["began"] < other["ended"]}) for each in slices
    )


@pytest.mark.parametrize(("share", "together"), [("0.5", 2), ("1", 1)])
def test_as_many_trials_share_the_gpu_as_fit(facts: Facts, share: str, together: int) -> None:
    found = facts[share]
    assert found["code"] == ExitCode.DONE and found["slots"] == together
    assert most_at_once(found["slices"]) == together
    assert {tuple(each["gpus"]) for each in found["slices"]} == {(0,)}
    assert {each["visible"] for each in found["slices"]} == {"0"}  # what torch goes by


def test_both_shares_do_the_same_work(facts: Facts) -> None:
    done = {share: sorted(each["uid"] for each in found["slices"]) for share, found in facts.items()}
    assert done["0.5"] == done["1"] and len(set(done["1"])) > 10


def test_two_slices_one_after_the_other_are_not_at_once() -> None:
    """The control of the measure."""
    apart = [{"pid": 1, "began": 0.0, "ended": 1.0}, {"pid": 2, "began": 1.0, "ended": 2.0}]
    assert most_at_once(apart) == 1
    assert most_at_once([*apart, {"pid": 3, "began": 0.5, "ended": 1.5}]) == 2

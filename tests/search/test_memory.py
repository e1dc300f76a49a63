"""A trial takes memory until Ray kills it; it costs its own method, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos import laws
from tests.support.drivers import command, failures, sweep, words
from tests.support.memory import memory
from tracking.journal import of_kind

SWEEP_MEBIBYTES = 2200   # Ray, a driver and a worker, all of them together
GROWTH_MEBIBYTES = 800   # beyond that Ray is to kill; it takes more where others on the machine give some back
EXCESS_MEBIBYTES = 500   # so much over the limit the trial stops by itself
SAID = "Ray killed it because its node ran low on memory"


@pytest.mark.slow
def test_a_trial_that_ray_kills_for_memory_is_tried_again_and_given_up(tmp_path: Path) -> None:
    used, total = (amount >> 20 for amount in memory())
    limit = used + SWEEP_MEBIBYTES + GROWTH_MEBIBYTES
    if limit > 0.8 * total:
        pytest.skip("not enough memory is free to give a trial some and take it away again")
    greedy = {"name": "greedy", "settings": {"mebibytes": limit + EXCESS_MEBIBYTES}}
    methods: list[dict[str, Any]] = [{"name": "plain"}, greedy, {"name": "augnet"}]
    given = words(tmp_path, "mine", methods=methods, budget=2.0, confirm_seeds=1, retries={"memory": 1})
    root = tmp_path / "sweeps"
    driver = command(
        root, "compare", *given, "--cpus", "1",
        RAY_memory_usage_threshold=f"{limit / total:.4f}", RAY_memory_monitor_refresh_ms="100",
    )
    out, err = driver.communicate(timeout=280)
    assert driver.returncode == 3 and "Traceback" not in err, out + err

    events = sweep(root, "mine").events()
    laws.ended(events)
    assert failures(events) == {"greedy": {"memory"}}
    assert [e["attempt"] for e in of_kind(events, "retry")] == [1]
    (lost,) = of_kind(events, "lost")
    assert lost["reason"].startswith(SAID) and "limit" in lost["reason"]
    done = {e["method"]: e for e in of_kind(events, "stage_done") if e["stage"] in ("confirm", "failed")}
    assert {method: event["stage"] for method, event in done.items()} == {
        "plain": "confirm", "greedy": "failed", "augnet": "confirm"
    }
    assert SAID in done["greedy"]["reason"]
    assert f"toy/greedy gave up: {done['greedy']['reason']}" in out

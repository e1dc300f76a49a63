"""The toy sweep, and drivers of it in processes of their own, through the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from search import configuration
from search.sweep import Sweep
from tracking.journal import Event, of_kind
from tracking.storage import Place

SUPPORT = Path(__file__).resolve().parent
MODULES = [SUPPORT / "toy_problems.py", SUPPORT / "lab.py"]
TOY: dict[str, Any] = {
    "problems": [{"label": "toy", "source": {"name": "toy_images"}}],
    "methods": [{"name": "plain"}, {"name": "augnet"}],
    "horizon": 24, "slices": 6, "budget": 3.0, "confirm_seeds": 2, "checkpoint_seconds": 0.05, "parallel_trials": 1,
}
POLL_SECONDS, REQUEST_SECONDS = 0.05, 0.5  # a journal in an object store is read object by object


def toy(**changes: Any) -> Any:
    """Its comparison."""
    return configuration.validate(TOY | changes | {"plugins": configuration.plugin_files(MODULES)})


def words(folder: Path, name: str, **changes: Any) -> list[str]:
    """What `compare` is given for it: a file with it, its name, and the modules."""
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(TOY | changes))
    return [str(file), "--name", name, *(word for path in MODULES for word in ("--module", str(path)))]


def launch(root: Path, name: str, *more: str, **changes: Any) -> subprocess.Popen[str]:
    """`invsearch compare` on two slots."""
    return command(root, "compare", *words(root.parent, name, **changes), "--cpus", "2", *more)


def command(root: Path | str, *given: str, **variables: str) -> subprocess.Popen[str]:
    """`invsearch` with these words, in an environment with these variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "search.cli", *given], env=os.environ | {"INVSEARCH_ROOT": str(root)} | variables,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def sweep(root: Path | Place, name: str) -> Sweep:
    return Sweep(Place.of(root) / name)


def wait_for(root: Path | Place, name: str, results: int, driver: subprocess.Popen[str]) -> None:
    """Until the journal holds so many results."""
    made = sweep(root, name)
    pause = POLL_SECONDS if made.place.local is not None else REQUEST_SECONDS
    wait_until(lambda: made.exists() and len(of_kind(made.loaded().events, "result")) >= results, driver, pause)


def wait_until(reached: Callable[[], bool], driver: subprocess.Popen[str], pause: float = POLL_SECONDS) -> None:
    """Fails where the driver ends before."""
    while not reached():
        if driver.poll() is not None:
            pytest.fail(driver.communicate()[1])
        time.sleep(pause)


def failures(events: list[Event]) -> dict[str, set[str]]:
    """Method -> causes of its failed attempts."""
    found: dict[str, set[str]] = {}
    for event in events:
        if event["kind"] in ("retry", "lost") or (event["kind"] == "result" and event["status"] == "failed"):
            found.setdefault(event["uid"].split("/")[1], set()).add(str(event["cause"]))
    return found

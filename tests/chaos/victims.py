"""Processes of one sweep, found by their own signature, so that nobody else's is ever killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.chaos.trial import PACE_VARIABLE, WORKERS, began
from tracking.journal import Event
from tracking.storage import Place

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.05


class Driver:
    """`tests.chaos.drive` in a process of its own, output in a file.

    Args:
        place: of the sweep, on a local path.
        fields: of the comparison.
        pace: seconds per slice.
        address: of a running cluster; None starts one that ends with the driver.
    """

    def __init__(
        self, place: Path, fields: Mapping[str, Any], pace: float, cpus: int | None = None,
        address: str | None = None, mlflow: str | None = None,
    ) -> None:
        options = {"--address": address, "--cpus": cpus, "--mlflow": mlflow}
        given = [text for name, value in options.items() if value is not None for text in (name, str(value))]
        self.log = place.with_suffix(".log")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.drive", str(place), json.dumps(dict(fields)), *given],
                cwd=ROOT, env=os.environ | {PACE_VARIABLE: str(pace)}, stdout=output, stderr=subprocess.STDOUT,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Without a chance to say anything."""
        self.process.kill()
        self.process.wait()

    def wait(self, seconds: float) -> int:
        """The exit code; the process is killed where it takes longer."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the driver took longer than {seconds:g} s: {self.said()}") from None

    def said(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-3000:]


def workers(place: Path) -> list[int]:
    """Processes that signed in this sweep and still run a trial, in order."""
    signed = place / WORKERS
    names = os.listdir(signed) if signed.is_dir() else []
    return sorted(int(name) for name in names if _is_worker(int(name), signed / name))


def worker_of(place: Path, uid: str) -> int | None:
    """The process that runs this trial, if it lives."""
    signed = place / WORKERS
    return next((pid for pid in workers(place) if (signed / str(pid)).read_text().endswith(f" {uid}")), None)


def kill(pid: int) -> None:
    """`kill -9`; gone already is as good."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def events(place: Path) -> list[Event]:
    """What the journal holds by now; none before it is there."""
    from search.sweep import Sweep

    try:
        return Sweep(Place.of(place)).events()
    except FileNotFoundError:
        return []


def count(place: Path, kind: str = "result") -> int:
    """How many such events the journal holds: cheap enough to be asked all the time."""
    try:
        return (place / "journal.jsonl").read_bytes().count(f'"kind":"{kind}"'.encode())
    except FileNotFoundError:
        return 0


def wait_for_results(place: Path, results: int, driver: Driver, seconds: float = 120.0) -> bool:
    """Until the journal holds so many results; False where the sweep ended before."""
    deadline = time.monotonic() + seconds
    while count(place) < results:
        if not driver.alive:
            return False
        if time.monotonic() > deadline:
            raise AssertionError(f"no more than {count(place)} results came within {seconds:g} s: {driver.said()}")
        time.sleep(POLL_SECONDS)
    return True


def _is_worker(pid: int, signature: Path) -> bool:
    """Whether the number still is the process that signed: a younger one may have got the same number."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        return title.startswith(b"ray::") and signature.read_text().startswith(f"{began(pid)} ")
    except (FileNotFoundError, ProcessLookupError):
        return False

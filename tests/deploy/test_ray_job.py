"""A sweep as a job of a running cluster, for real: `ray job submit` ships the code, `ray job stop` gives it time."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.sweep import Sweep
from tests.support.ports import free_port
from tracking.storage import Place

TREE = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """A cluster of one node with a job server and a token, in processes of its own."""
    with tempfile.TemporaryDirectory(prefix="j") as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder, "token").write_text(secrets.token_hex(32))
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", f"{folder}/token")
        dashboard = free_port()
        command = [
            BIN / "ray", "start", "--head", "--block", f"--port={free_port()}", f"--temp-dir={folder}/r",
            "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=true", f"--dashboard-port={dashboard}",
            f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}",
        ]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with Path(folder, "said").open("w") as said:
            started = subprocess.Popen([*map(str, command)], env=environment, stdout=said, stderr=said)
        try:
            yield f"http://127.0.0.1:{dashboard}"
        finally:
            started.terminate()
            started.wait(timeout=60)


def job(head: str, root: Path, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "INVSEARCH_BIN": str(BIN), "INVSEARCH_SHIP": str(TREE), "INVSEARCH_PYTHON": sys.executable,
    }
    return subprocess.Popen(
        ["bash", TREE / "deploy" / "ray-job.sh", head, *words, str(root)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )


def submitted(head: str, root: Path, *words: str) -> subprocess.Popen[str]:
    """Once the job server answers."""
    deadline = time.monotonic() + 120
    while True:
        listed = subprocess.run([BIN / "ray", "job", "list", "--address", head], capture_output=True, check=False)
        if listed.returncode == 0:
            return job(head, root, *words)
        assert time.monotonic() < deadline, listed.stderr.decode()
        time.sleep(1.0)


def test_a_job_that_is_stopped_keeps_its_state_and_the_next_goes_on(head: str, tmp_path: Path) -> None:
    sweep = Sweep(Place.of(tmp_path / "mine"))
    first = submitted(head, tmp_path, "smoke", "mine")
    while not sweep.exists() or sum(event["kind"] == "result" for event in sweep.loaded().events) < 6:
        if first.poll() is not None:
            pytest.fail(first.communicate()[0])
        time.sleep(0.5)
    listed = subprocess.run(
        [BIN / "ray", "job", "list", "--address", head], capture_output=True, text=True, check=True
    ).stdout
    name = next(part for part in listed.replace("'", " ").replace("=", " ").split() if part.startswith("mine-"))
    subprocess.run([BIN / "ray", "job", "stop", "--address", head, name], check=True, capture_output=True)
    first.communicate(timeout=120)
    assert sweep.loaded().events[-1]["kind"] == "interrupted"
    assert sweep.loaded().events[-1]["by"] == "SIGTERM"
    second = job(head, tmp_path, "smoke", "mine")
    said = second.communicate(timeout=240)[0]
    assert second.returncode == 0, said
    assert sweep.loaded().events[-1]["kind"] == "sweep_done"

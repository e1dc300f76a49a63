"""Clusters with a token and without one, met by a driver that has a token and was told nothing."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search import access
from tests.support.ports import free_port

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


@contextmanager
def head(mode: str, folder: Path) -> Iterator[str]:
    """A cluster of one node; its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        BIN / "ray", "start", "--head", "--block", f"--port={address.partition(':')[2]}", f"--temp-dir={folder}/r",
        "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false",
        f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}",
    ]
    with (folder / "said").open("w") as said:
        started = subprocess.Popen(
            [str(word) for word in command], env=os.environ | {"RAY_AUTH_MODE": mode}, stdout=said, stderr=said
        )
    try:
        while "Ray runtime started" not in (folder / "said").read_text():
            assert started.poll() is None, (folder / "said").read_text()
            time.sleep(0.2)
        yield address
    finally:
        started.terminate()
        started.wait(timeout=60)


@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_token_is_shown_only_where_it_is_asked_for(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown to a cluster without one, no actor would start; not shown to one that asks, nothing would."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with tempfile.TemporaryDirectory(prefix="a") as short:
        token = Path(short, "token")
        token.write_text(secrets.token_hex(32))
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        with head(mode, Path(short)) as address:
            assert access.asks_for_token(address) == (mode == "token")
            command = [BIN / "invsearch", "compare", "smoke", "--root", tmp_path, "--name", "x", "--address", address]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
            assert done.returncode == 0, done.stdout + done.stderr

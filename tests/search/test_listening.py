"""Nothing of a local sweep listens beyond loopback: the sockets of its whole process tree, while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest
import yaml

TOYS = Path(__file__).resolve().parent.parent / "support" / "toy_problems.py"
LISTEN = "0A"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells in /proc")]


def tree(root: int) -> set[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = set[int](), [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return found


def sockets(pid: int) -> Iterator[str]:
    """Inodes of a process's sockets."""
    try:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(file)
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:
        return


def address(text: str) -> str:
    """As the kernel prints it: words of four bytes, each in this machine's order."""
    words = bytes.fromhex(text)
    packed = b"".join(words[i : i + 4][:: -1 if sys.byteorder == "little" else 1] for i in range(0, len(words), 4))
    found = ip_address(packed)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def listening(root: int) -> set[tuple[str, str]]:
    """(address, command) of every listening TCP socket of a process tree."""
    owners = {inode: pid for pid in tree(root) for inode in sockets(pid)}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in owners:
                try:
                    name = Path(f"/proc/{owners[fields[9]]}/comm").read_text().strip()
                except OSError:
                    continue
                found.add((address(fields[1].split(":")[0]), name))
    return found


def test_the_instrument_sees_a_socket_that_listens_everywhere() -> None:
    """The control of the test below."""
    code = "import socket,sys\ns=socket.create_server(('', 0))\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert "0.0.0.0" in {ip for ip, _ in listening(server.pid)}
        server.communicate("")


@pytest.mark.parametrize("options", [[], ["--dashboard"]], ids=["plain", "dashboard"])
def test_a_local_sweep_listens_on_loopback_only(options: list[str], tmp_path: Path) -> None:
    described = {
        "problems": [{"label": "toy", "source": {"name": "toy_images"}}], "methods": [{"name": "plain"}],
        "network": "mlp", "horizon": 24, "slices": 6, "budget": 4.0, "confirm_seeds": 2,
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(described))
    command = [sys.executable, "-m", "search.cli", "compare", str(tmp_path / "toy.yaml"), "--module", str(TOYS),
               "--cpus", "2", "--root", str(tmp_path / "sweeps"), "--name", "toy", *options]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    found: set[tuple[str, str]] = set()
    with (tmp_path / "out.txt").open("w") as out, subprocess.Popen(
        command, stdout=out, stderr=subprocess.STDOUT, env=environment
    ) as driver:
        deadline = time.monotonic() + 240
        while driver.poll() is None:
            if time.monotonic() > deadline:
                driver.terminate()
                pytest.fail("the sweep does not end")
            found |= listening(driver.pid)
            time.sleep(0.5)
    said = (tmp_path / "out.txt").read_text()
    assert driver.returncode == 0, said
    assert {"raylet", "gcs_server"} <= {name for _, name in found}, "the tree holds Ray's processes"
    assert [one for one in sorted(found) if not ip_address(one[0]).is_loopback] == []
    assert ("Ray dashboard: http://127.0.0.1:" in said) == bool(options)

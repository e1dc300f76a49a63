"""Where a result comes from: commit, versions, hardware."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SOURCES = ("search", "trainables", "spaces", "tracking")
PACKAGES = ("invsearch", "torch", "torchvision", "ray", "optuna", "mlflow", "numpy")
GIT_SECONDS = 10.0


def collect(root: Path | None = None) -> dict[str, Any]:
    """What somebody needs to run a result again; JSON-able, no heavy imports, never an exception.

    Args:
        root: a folder of the checkout; None means the one that holds this file.

    Returns:
        `commit` and `dirty` (None outside of a checkout), `code` (a hash of our own sources, which also tells apart
        two states of one commit), `versions`, `platform`, `hardware` (CPU model, cores, memory in bytes; GPU names
        where torch has been imported and sees one). Unknown is None.
    """
    root = root or Path(__file__).resolve().parent
    commit = _git(root, "rev-parse", "HEAD")
    changes = None if commit is None else _git(root, "status", "--porcelain")
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "code": code_digest(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "hardware": {
            "cpu": _cpu_model(),
            "cores": _cores(),
            "memory_bytes": _memory_bytes(),
            "gpus": _gpus(),
        },
    }


def device_name(device: torch.device) -> str:
    """Model of the CPU or of the GPU that a trial ran on."""
    if device.type == "cuda":
        return str(sys.modules["torch"].cuda.get_device_name(device))
    return _cpu_model() or "unknown CPU"


def code_digest(base: Path | None = None) -> str:
    """A hash of the Python files of the four packages, by name and content.

    Args:
        base: the folder that holds them; None means where this file comes from.
    """
    base = base or Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in SOURCES:
        for path in sorted((base / package).rglob("*.py")):
            digest.update(path.relative_to(base).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _git(root: Path, *words: str) -> str | None:
    """Git's answer; None without git, outside of a checkout, or when it takes too long."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # a query must not write into the user's checkout
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=GIT_SECONDS, check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine() or None)


def _cores() -> int | None:
    """Cores that this process may use, which a container may have cut."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_available():
            return []
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except (AssertionError, AttributeError, RuntimeError):  # a torch half imported, or a driver that fails
        return []

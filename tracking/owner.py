"""Who holds a lease: one process of one boot of one machine, and whether it can still be alive."""

from __future__ import annotations

import os
import socket
from enum import Enum, auto
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Alive(Enum):
    """What this machine can know about another process."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()


class Owner(BaseModel):
    """One process, so that no other one is taken for it.

    Args:
        machine: an identity that survives reboots; empty where the system has none.
        boot: of the kernel.
        namespace: in which `pid` is counted; containers of one machine have their own.
        started: when the process began, in clock ticks after the boot: numbers of processes are used again.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: int

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return cls(
            host=socket.gethostname(), machine=_text("/etc/machine-id"), boot=_text("/proc/sys/kernel/random/boot_id"),
            namespace=_namespace(), pid=os.getpid(), started=_started(os.getpid()) or 0,
        )

    def alive(self, seen_from: Owner) -> Alive:
        """Whether it can still run, as far as a process of another machine, boot or container can tell."""
        if self.host != seen_from.host:
            return Alive.UNKNOWN
        if self.boot != seen_from.boot:  # an earlier boot, unless another machine has the same name
            same = self.machine == seen_from.machine != ""
            return Alive.NO if same else Alive.UNKNOWN
        if not self.boot or self.namespace != seen_from.namespace:
            return Alive.UNKNOWN
        return Alive.YES if _started(self.pid) == self.started else Alive.NO

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def parsed(data: Any) -> Owner | None:
    """The owner that a lease names; None where it names none that can be understood."""
    try:
        return Owner.model_validate(data)
    except ValueError:
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """None where there is no such process, or nothing but its entry."""
    stat = _text(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if len(fields) < 20 or fields[0] in "ZX" else int(fields[19])

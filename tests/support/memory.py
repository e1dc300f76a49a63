"""How much memory is in use, as Ray counts it."""

from __future__ import annotations

from pathlib import Path


def memory() -> tuple[int, int]:
    """Bytes in use and bytes in all: of the container where it has a limit of its own, else of the machine."""
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    used, total = _of_the_machine()
    limit = int(get_system_memory())
    return (used, total) if limit >= total else (int(get_used_memory()), limit)


def _of_the_machine() -> tuple[int, int]:
    fields = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kibibytes = {name: int(number) for name, number, *_ in fields}
    total = kibibytes["MemTotal:"]
    return (total - kibibytes["MemAvailable:"]) << 10, total << 10

"""Energy from the machine's own counters: NVML for a GPU, RAPL for processors. No counter, no figure.

An NVML counter belongs to one GPU, so what it counts is a trial's only while no other process computes there. A RAPL
counter belongs to a whole package that many processes share; a process takes the share of its CPU-seconds in those of
the machine, which ignores that not all CPU-seconds cost the same: an estimate, and named so everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from tracking.ledger import added

POWERCAP = Path("/sys/class/powercap")
PROC_STAT = Path("/proc/stat")
BUSY_FIELDS = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq of proc_stat(5); guests are in user and nice


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment; None where there is none or it may not be read.

    Args:
        packages: joules by RAPL zone, from an unknown origin; they wrap.
        busy_seconds: CPU-seconds of all processes of the machine since its start.
        device: joules of the GPU, from an unknown origin; None as well while another process computes there.
    """

    packages: Mapping[str, float] | None
    busy_seconds: float | None
    device: float | None


@dataclass(frozen=True, slots=True)
class Used:
    """What went by between two readings; uses add up, so that the coarse clock of the machine averages out.

    Args:
        device: joules of a GPU that the process had to itself; None where unknown.
        packages: joules of all processors; None where unknown.
        cpu_seconds: the process's own; `busy_seconds`: of all processes.
    """

    device: float | None
    packages: float | None
    cpu_seconds: float = 0.0
    busy_seconds: float = 0.0

    @property
    def host_estimate(self) -> float | None:
        """The process's share of the packages' joules."""
        if self.packages is None:
            return None
        # Two clocks: a process that is alone may seem to have spent a little more than the machine did.
        return self.packages * min(1.0, self.cpu_seconds / self.busy_seconds) if self.busy_seconds > 0 else 0.0

    def __add__(self, other: Used) -> Used:
        return Used(
            added(self.device, other.device), added(self.packages, other.packages),
            self.cpu_seconds + other.cpu_seconds, self.busy_seconds + other.busy_seconds,
        )



class Energy:
    """Reads the counters that one process needs.

    Args:
        device: a CUDA device is looked up by its UUID, so it does not matter how the process numbers devices.
        powercap: where the kernel shows RAPL; `proc_stat` its CPU times.
        nvml: the module `pynvml`; by default the installed one (package nvidia-ml-py), if any.
    """

    def __init__(
        self, device: torch.device | str = "cpu", powercap: Path = POWERCAP, proc_stat: Path = PROC_STAT,
        nvml: Any = None,
    ) -> None:
        self._zones = _packages(powercap)
        self._proc_stat = proc_stat
        self._device = _gpu_counter(torch.device(device), nvml)

    def read(self) -> Reading:
        """Where the counters stand."""
        packages = {str(zone): _number(zone / "energy_uj") for zone in self._zones}
        known = {zone: value / 1e6 for zone, value in packages.items() if value is not None}
        whole = bool(packages) and len(known) == len(packages)
        return Reading(known if whole else None, self._busy_seconds(), self._device())

    def used(self, start: Reading, end: Reading, cpu_seconds: float) -> Used:
        """What a process used that spent `cpu_seconds` between two readings, less than one turn of a counter apart."""
        device = None if start.device is None or end.device is None else max(0.0, end.device - start.device)
        if start.busy_seconds is None or end.busy_seconds is None:
            return Used(device, None)
        return Used(device, self._joules(start, end), cpu_seconds, end.busy_seconds - start.busy_seconds)

    def _joules(self, start: Reading, end: Reading) -> float | None:
        if start.packages is None or end.packages is None:
            return None
        joules = 0.0
        for zone, before in start.packages.items():
            turned = end.packages[zone] - before
            span = _number(Path(zone) / "max_energy_range_uj")
            if turned < 0 and span is None:
                return None
            joules += turned if turned >= 0 else turned + (span or 0.0) / 1e6
        return joules

    def _busy_seconds(self) -> float | None:
        try:
            ticks = self._proc_stat.read_text().splitlines()[0].split()[1:]
            return sum(int(ticks[field]) for field in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return None


class Unread(Energy):
    """No counter: of work whose share in what counters say is not known."""

    def __init__(self) -> None:
        """Looks for none."""

    def read(self) -> Reading:
        return Reading(None, None, None)


def _packages(powercap: Path) -> list[Path]:
    """Whole packages that may be read: `intel-rapl:N`, which AMD's have too; their parts and the second interface to
    the same counters (`intel-rapl-mmio`) would count twice."""
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    return [zone for zone in zones if _text(zone / "name").startswith("package")]


def _gpu_counter(device: torch.device, nvml: Any) -> Callable[[], float | None]:
    """Reads a GPU's joules while this process is the only one that computes there."""
    if device.type != "cuda":
        return lambda: None
    try:
        nvml = nvml or import_module("pynvml")  # optional
        nvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}".encode())
    except Exception:  # no library, no driver, a part of a GPU: whatever it is, there is no counter for us
        return lambda: None

    def read() -> float | None:
        try:
            # Where a container hides process numbers it cannot be told who computes, and there is no figure.
            alone = [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)] == [os.getpid()]
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3 if alone else None
        except nvml.NVMLError:
            return None

    return read


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    text = _text(path)  # readable by root only on most systems
    return float(text) if text.isdigit() else None

"""The meter: counts and times what a trial does, and keeps its ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from types import MappingProxyType
from typing import Any

import torch

from tracking.energy import Energy, Reading, Used
from tracking.ledger import ENERGIES, METHOD_PHASES, UNITS, Ledger, Phase, PhaseCost, added, highest, nothing

__all__ = ["UNITS", "Clock", "Ledger", "Meter", "Phase", "PhaseCost"]

Unit = tuple[Phase, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Clock:
    """The start of a slice; made by `Meter.start`, spent by `Meter.stop`."""

    wall: float
    cpu: float
    event: torch.cuda.Event | None
    energy: Reading


class Meter:
    """Measures one trial.

    FLOPs: the body of each (phase, name, shape) is counted once, on its first call, and charged at every
    call; so a unit's name and shape must determine its work. Where work depends on values (boolean masks,
    early exits), the first call stands for all.

    Args:
        device: where the work happens; a CUDA device is timed with its own events.
        energy: what reads the energy counters; by default those of this machine.
    """

    def __init__(self, device: torch.device | str = "cpu", energy: Energy | None = None) -> None:
        from tracking.flops import FlopCounter  # 90 MiB and .7 s, which who makes no meter does without

        self._counter = FlopCounter
        self._device = torch.device(device)
        self._energy = energy or Energy(self._device)
        self._energies: Used | None = None  # before the first slice; unknown from the first on that could not be read
        self._earlier_joules: tuple[float | None, float | None] | None = None  # device, host; before a resume
        self._costs = nothing()
        self._units: dict[Unit, int] = {}
        self._uncounted: Counter[str] = Counter()
        self._open: Phase | None = None
        self._unassigned = PhaseCost()  # read, and not yet known for what
        self._earlier_host_peak: int | None = None  # before a resume, on another worker
        self._earlier_device_peak: int | None = None
        self._host_peak_is_ours = False

    @contextmanager
    def unit(
        self, name: str, shape: Sequence[int], *, phase: Phase, examples: int = 0, times: int = 1
    ) -> Iterator[None]:
        """Charge one update of kind `name` on inputs of `shape`; `examples` in gradient evaluations.

        `times` is how many processes do the same work; `examples` are those of all.

        An exception in the body leaves the meter as if the unit had not been entered, except for what was read:
        that was seen.

        Raises:
            RuntimeError: a unit inside a unit; its work would be charged twice.
        """
        if self._open is not None:
            raise RuntimeError(f"units do not nest, but `{name}` was entered inside another unit")
        key = (phase, name, tuple(int(n) for n in shape))
        flops = self._units.get(key)
        self._assign_reads(phase)
        self._open = phase
        try:
            if flops is None:
                with self._counter() as counter:
                    yield
                flops = self._units[key] = counter.flops
                self._uncounted.update(counter.uncounted)
            else:
                yield
        finally:
            self._open = None
        self._charge(phase, PhaseCost(flops=flops * times, examples=examples))

    def read_labels(self, count: int, phase: Phase | None = None) -> None:
        """Charge held-out labels.

        Without a phase they belong to the open unit; outside of a unit, to the next unit of the method or the
        next `stop`, whichever comes first: labels are drawn just before the update that uses them.
        """
        self._read(PhaseCost(label_reads=count), phase)

    def read_unlabelled(self, count: int) -> None:
        """Charge images handed out without their labels, as `read_labels` does."""
        self._read(PhaseCost(unlabelled_reads=count), None)

    def charge(self, phase: Phase, cost: PhaseCost) -> None:
        """What was measured elsewhere."""
        self._charge(phase, cost)

    def start(self) -> Clock:
        """Begin to time a slice."""
        return Clock(time.perf_counter(), _cpu_seconds(), self._record(), self._energy.read())

    def stop(self, clock: Clock, phase: Phase) -> None:
        """Charge the time since `clock` to a phase; waits for the device."""
        device_seconds = 0.0
        if clock.event is not None:
            end = self._record()
            assert end is not None
            end.synchronize()
            device_seconds = clock.event.elapsed_time(end) / 1000.0
        self._assign_reads(phase)
        cpu_seconds = _cpu_seconds() - clock.cpu
        if phase in METHOD_PHASES:
            used = self._energy.used(clock.energy, self._energy.read(), cpu_seconds)
            self._energies = used if self._energies is None else self._energies + used
        self._charge(phase, PhaseCost(
            cpu_seconds=cpu_seconds,
            device_seconds=device_seconds,
            wall_seconds=time.perf_counter() - clock.wall,
        ))

    def reset_peaks(self) -> None:
        """Forget the memory peaks of what this process did before: a reused worker starts each trial anew.

        The host's peak is known only after this has worked (Linux: `/proc/self/clear_refs`, see proc(5)).
        """
        self._earlier_host_peak = self._earlier_device_peak = None
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._host_peak_is_ours = True
        except OSError:
            self._host_peak_is_ours = False
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def ledger(self) -> Ledger:
        """The account so far."""
        phases = dict(self._costs)
        phases[Phase.TRAIN] += self._unassigned
        return Ledger(
            phases=MappingProxyType(phases),
            peak_host_bytes=highest(self._earlier_host_peak, self._host_peak()),
            peak_device_bytes=highest(self._earlier_device_peak, self._device_peak()),
            **dict(zip(ENERGIES, self._joules(), strict=True)),
            uncounted=dict(self._uncounted),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything charged and every unit counted; loads with `weights_only=True`."""
        return {
            "ledger": self.ledger().to_json(),
            "unassigned_labels": self._unassigned.label_reads,
            "unassigned_unlabelled": self._unassigned.unlabelled_reads,
            "units": [[str(key[0]), key[1], list(key[2]), flops] for key, flops in self._units.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved account; a resumed run charges the same FLOPs as one that was never interrupted.

        Raises:
            ValueError: the state is not a meter's; nothing was changed.
        """
        try:
            ledger = Ledger.from_json(state["ledger"])
            units = {(Phase(p), str(n), tuple(map(int, s))): int(flops) for p, n, s, flops in state["units"]}
            reads = int(state["unassigned_labels"]), int(state.get("unassigned_unlabelled", 0))  # the second is newer
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the state is not a meter's: {error!r}") from error
        self._costs = dict(ledger.phases)
        labels, unlabelled = reads
        self._costs[Phase.TRAIN] += PhaseCost(label_reads=-labels, unlabelled_reads=-unlabelled)  # still without phase
        self._units, self._unassigned = units, PhaseCost(label_reads=labels, unlabelled_reads=unlabelled)
        self._uncounted = Counter(ledger.uncounted)
        self._earlier_host_peak, self._earlier_device_peak = ledger.peak_host_bytes, ledger.peak_device_bytes
        earlier = (ledger.device_energy_joules, ledger.host_energy_estimate_joules)
        self._energies, self._earlier_joules = None, None if ledger.phases == nothing() else earlier

    def _joules(self) -> tuple[float | None, float | None]:
        """Device and host: before the resume, if there was one, and since."""
        now = None if self._energies is None else (self._energies.device, self._energies.host_estimate)
        parts = [part for part in (self._earlier_joules, now) if part is not None]
        if not parts:
            return None, None
        return reduce(added, (part[0] for part in parts)), reduce(added, (part[1] for part in parts))

    def _charge(self, phase: Phase, cost: PhaseCost) -> None:
        self._costs[phase] += cost

    def _read(self, cost: PhaseCost, phase: Phase | None) -> None:
        phase = phase or self._open
        if phase is None:
            self._unassigned += cost
        else:
            self._charge(phase, cost)

    def _assign_reads(self, phase: Phase) -> None:
        """The harness names its phase when it reads labels, so SELECT never takes a method's."""
        if phase is not Phase.SELECT and self._unassigned != PhaseCost():
            self._charge(phase, self._unassigned)
            self._unassigned = PhaseCost()

    def _record(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _host_peak(self) -> int | None:
        return _peak_resident_bytes() if self._host_peak_is_ours else None

    def _device_peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None


def _cpu_seconds() -> float:
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_resident_bytes() -> int | None:
    """VmHWM of this process; None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = (line.split() for line in lines if line.startswith("VmHWM:"))
    return next((int(size[1]) * 1024 for size in sizes), None)

"""The meter and the ledger: what a trial spent, by phase, in units that carry their names."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from types import MappingProxyType
from typing import Any

import torch

from tracking.flops import FlopCounter


class Phase(StrEnum):
    """What an amount of work was for."""

    PRETRAIN = "pretrain"  # trained once, shared by many tasks
    SEARCH = "search"      # finding the invariances
    TRAIN = "train"        # the weights
    SELECT = "select"      # the harness's own evaluation, kept apart


METHOD_PHASES = (Phase.PRETRAIN, Phase.SEARCH, Phase.TRAIN)
Unit = tuple[Phase, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class PhaseCost:
    """What one phase spent.

    Args:
        flops: floating point operations, counted by the conventions of tracking/flops.py.
        examples: gradient evaluations; one is the forward and backward pass of one image.
        cpu_seconds: user + system time of the process and of its children that have ended.
        device_seconds: time on the accelerator between CUDA events; 0 on a CPU.
        wall_seconds: elapsed time.
        label_reads: held-out labels consulted.
    """

    flops: int = 0
    examples: int = 0
    cpu_seconds: float = 0.0
    device_seconds: float = 0.0
    wall_seconds: float = 0.0
    label_reads: int = 0

    def __add__(self, other: PhaseCost) -> PhaseCost:
        return PhaseCost(*(getattr(self, unit) + getattr(other, unit) for unit in UNITS))


UNITS = tuple(f.name for f in fields(PhaseCost))


def _nothing() -> Mapping[Phase, PhaseCost]:
    return {phase: PhaseCost() for phase in Phase}


@dataclass(frozen=True)
class Ledger:
    """The account of a trial, an artefact or a sweep; ledgers add up.

    Args:
        phases: cost by phase; a phase that is left out cost nothing.
        peak_host_bytes: highest resident memory of the process, None where it is not available.
        peak_device_bytes: highest allocated accelerator memory, None where it is not available.
        energy_joules: from a counter, None where there is none; never estimated.
        uncounted: operation -> calls seen while counting, for operations without a FLOP formula.
    """

    phases: Mapping[Phase, PhaseCost] = field(default_factory=_nothing)
    peak_host_bytes: int | None = None
    peak_device_bytes: int | None = None
    energy_joules: float | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Flat numbers under the reserved prefixes `cost/` and `evaluation/`.

        `cost/UNIT` is the method's own work, pretrain + search + train, which decisions use; `cost/label_reads`
        includes the harness's reads, since tuning learns from those too. `cost/PHASE/UNIT` is there for phases
        that cost something, `evaluation/UNIT` is the harness's own work, peaks and energy where known.
        """
        own = sum((self._phase(phase) for phase in METHOD_PHASES), PhaseCost())
        flat = {f"cost/{unit}": getattr(own, unit) for unit in UNITS}
        flat["cost/label_reads"] = own.label_reads + self._phase(Phase.SELECT).label_reads
        for phase in METHOD_PHASES:
            if self._phase(phase) != PhaseCost():
                flat |= {f"cost/{phase}/{unit}": getattr(self._phase(phase), unit) for unit in UNITS}
        flat |= {f"evaluation/{unit}": getattr(self._phase(Phase.SELECT), unit) for unit in UNITS}
        for name in ("peak_host_bytes", "peak_device_bytes", "energy_joules"):
            if getattr(self, name) is not None:
                flat[f"cost/{name}"] = getattr(self, name)
        return {name: float(value) for name, value in flat.items()}

    def __add__(self, other: Ledger) -> Ledger:
        """Costs and energy add up, peaks take the maximum.

        The sum's energy is unknown when one side's is: half of a sum would pass for the whole.
        """
        energies = (self.energy_joules, other.energy_joules)
        empty = Ledger()
        if empty in (self, other):
            return other if self == empty else self
        return Ledger(
            phases={phase: self._phase(phase) + other._phase(phase) for phase in Phase},
            peak_host_bytes=_highest(self.peak_host_bytes, other.peak_host_bytes),
            peak_device_bytes=_highest(self.peak_device_bytes, other.peak_device_bytes),
            energy_joules=None if None in energies else sum(e for e in energies if e is not None),
            uncounted=dict(Counter(self.uncounted) + Counter(other.uncounted)),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-able; integers stay exact."""
        return {
            "phases": {str(phase): asdict(cost) for phase, cost in self.phases.items()},
            "peak_host_bytes": self.peak_host_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "energy_joules": self.energy_joules,
            "uncounted": dict(self.uncounted),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the data are not a ledger's.
        """
        phases = {Phase(name): PhaseCost(**cost) for name, cost in data["phases"].items()}
        return cls(**{**data, "phases": _nothing() | phases})  # type: ignore[operator]

    def _phase(self, phase: Phase) -> PhaseCost:
        return self.phases.get(phase, PhaseCost())


@dataclass(frozen=True, slots=True)
class Clock:
    """The start of a slice; made by `Meter.start`, spent by `Meter.stop`."""

    wall: float
    cpu: float
    event: torch.cuda.Event | None


class Meter:
    """Measures one trial.

    FLOPs: the body of each (phase, name, shape) is counted once, on its first call, and charged at every call; so
    a unit's name and shape must determine its work. Where work depends on values (boolean masks, early exits), the
    first call stands for all.

    Args:
        device: where the work happens; a CUDA device is timed with its own events.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._costs = dict(_nothing())
        self._units: dict[Unit, int] = {}
        self._uncounted: Counter[str] = Counter()
        self._open: Phase | None = None
        self._unassigned_labels = 0
        self._earlier_host_peak: int | None = None  # before a resume, on another worker
        self._earlier_device_peak: int | None = None
        self._host_peak_is_ours = False

    @contextmanager
    def unit(self, name: str, shape: Sequence[int], *, phase: Phase, examples: int = 0) -> Iterator[None]:
        """Charge one update of kind `name` on inputs of `shape`; `examples` in gradient evaluations.

        An exception in the body leaves the meter as if the unit had not been entered, except for labels: those
        were seen.

        Raises:
            RuntimeError: a unit inside a unit; its work would be charged twice.
        """
        if self._open is not None:
            raise RuntimeError(f"units do not nest, but `{name}` was entered inside another unit")
        key = (phase, name, tuple(int(n) for n in shape))
        flops = self._units.get(key)
        self._assign_labels(phase)
        self._open = phase
        try:
            if flops is None:
                with FlopCounter() as counter:
                    yield
                flops = self._units[key] = counter.flops
                self._uncounted.update(counter.uncounted)
            else:
                yield
        finally:
            self._open = None
        self._charge(phase, PhaseCost(flops=flops, examples=examples))

    def read_labels(self, count: int, phase: Phase | None = None) -> None:
        """Charge held-out labels.

        Without a phase they belong to the open unit; outside of a unit, to the next unit of the method or the
        next `stop`, whichever comes first: labels are drawn just before the update that uses them.
        """
        phase = phase or self._open
        if phase is None:
            self._unassigned_labels += count
        else:
            self._charge(phase, PhaseCost(label_reads=count))

    def start(self) -> Clock:
        """Begin to time a slice."""
        return Clock(time.perf_counter(), _cpu_seconds(), self._record())

    def stop(self, clock: Clock, phase: Phase) -> None:
        """Charge the time since `clock` to a phase; waits for the device."""
        device_seconds = 0.0
        if clock.event is not None:
            end = self._record()
            assert end is not None
            end.synchronize()
            device_seconds = clock.event.elapsed_time(end) / 1000.0
        self._assign_labels(phase)
        self._charge(phase, PhaseCost(
            cpu_seconds=_cpu_seconds() - clock.cpu,
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
        phases[Phase.TRAIN] += PhaseCost(label_reads=self._unassigned_labels)
        return Ledger(
            phases=MappingProxyType(phases),
            peak_host_bytes=_highest(self._earlier_host_peak, self._host_peak()),
            peak_device_bytes=_highest(self._earlier_device_peak, self._device_peak()),
            energy_joules=None,
            uncounted=dict(self._uncounted),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything charged and every unit counted; loads with `weights_only=True`."""
        return {
            "ledger": self.ledger().to_json(),
            "unassigned_labels": self._unassigned_labels,
            "units": [[str(phase), name, list(shape), flops] for (phase, name, shape), flops in self._units.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved account; a resumed run charges the same FLOPs as one that was never interrupted.

        Raises:
            ValueError: the state is not a meter's; nothing was changed.
        """
        try:
            ledger = Ledger.from_json(state["ledger"])
            units = {(Phase(p), str(n), tuple(map(int, s))): int(flops) for p, n, s, flops in state["units"]}
            labels = int(state["unassigned_labels"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the state is not a meter's: {error!r}") from error
        self._costs = dict(ledger.phases)
        self._costs[Phase.TRAIN] += PhaseCost(label_reads=-labels)  # still without a phase
        self._units, self._unassigned_labels = units, labels
        self._uncounted = Counter(ledger.uncounted)
        self._earlier_host_peak, self._earlier_device_peak = ledger.peak_host_bytes, ledger.peak_device_bytes

    def _charge(self, phase: Phase, cost: PhaseCost) -> None:
        self._costs[phase] += cost

    def _assign_labels(self, phase: Phase) -> None:
        """The harness names its phase when it reads labels, so SELECT never takes a method's."""
        if phase is not Phase.SELECT and self._unassigned_labels:
            self._charge(phase, PhaseCost(label_reads=self._unassigned_labels))
            self._unassigned_labels = 0

    def _record(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)
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


def _highest(*peaks: int | None) -> int | None:
    return max((peak for peak in peaks if peak is not None), default=None)

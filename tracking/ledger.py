"""The ledger: what was spent, by phase, in units that carry their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """What an amount of work was for."""

    PRETRAIN = "pretrain"  # trained once, shared by many tasks
    SEARCH = "search"      # finding the invariances
    TRAIN = "train"        # the weights
    SELECT = "select"      # the harness's own evaluation, kept apart


METHOD_PHASES = (Phase.PRETRAIN, Phase.SEARCH, Phase.TRAIN)


@dataclass(frozen=True, slots=True)
class PhaseCost:
    """What one phase spent.

    Args:
        flops: floating point operations, counted by the conventions of tracking/flops.py.
        examples: gradient evaluations; one is the forward and backward pass of one image.
        cpu_seconds: user + system time of the process and of its children that have ended.
        device_seconds: time on the accelerator between CUDA events; 0 on a CPU.
        wall_seconds: elapsed time.
        label_reads: held-out labels handed out, one as often as it is drawn; a method that keeps it reads it once.
        unlabelled_reads: images handed out without their labels.
    """

    flops: int = 0
    examples: int = 0
    cpu_seconds: float = 0.0
    device_seconds: float = 0.0
    wall_seconds: float = 0.0
    label_reads: int = 0
    unlabelled_reads: int = 0

    def __add__(self, other: PhaseCost) -> PhaseCost:
        return PhaseCost(*(getattr(self, unit) + getattr(other, unit) for unit in UNITS))


UNITS = tuple(f.name for f in fields(PhaseCost))
ENERGIES = ("device_energy_joules", "host_energy_estimate_joules")


def nothing() -> dict[Phase, PhaseCost]:
    """Every phase at no cost."""
    return {phase: PhaseCost() for phase in Phase}


@dataclass(frozen=True)
class Ledger:
    """The account of a trial, an artefact or a sweep; ledgers add up.

    Args:
        phases: cost by phase; a phase that is left out cost nothing.
        peak_host_bytes: highest resident memory of the process, None where it is not available.
        peak_device_bytes: highest allocated accelerator memory, None where it is not available.
        device_energy_joules: of the method's own work on a GPU that it had to itself, by its counter; None otherwise.
        host_energy_estimate_joules: of the method's own work on processors: the share of its CPU-seconds in what the
            packages' counters say; None where there is no counter.
        uncounted: operation -> calls seen while counting, for operations without a FLOP formula.
    """

    phases: Mapping[Phase, PhaseCost] = field(default_factory=nothing)
    peak_host_bytes: int | None = None
    peak_device_bytes: int | None = None
    device_energy_joules: float | None = None
    host_energy_estimate_joules: float | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Flat numbers under the reserved prefixes `cost/` and `evaluation/`.

        `cost/UNIT` is the method's own work, pretrain + search + train, which decisions use;
        `cost/label_reads` includes the harness's reads, since tuning learns from those too. `cost/PHASE/UNIT`
        is there for phases that cost something, `evaluation/UNIT` is the harness's own work; peaks and
        energy where known.
        """
        own = sum((self._phase(phase) for phase in METHOD_PHASES), PhaseCost())
        flat = {f"cost/{unit}": getattr(own, unit) for unit in UNITS}
        flat["cost/label_reads"] = own.label_reads + self._phase(Phase.SELECT).label_reads
        for phase in METHOD_PHASES:
            if self._phase(phase) != PhaseCost():
                flat |= {f"cost/{phase}/{unit}": getattr(self._phase(phase), unit) for unit in UNITS}
        flat |= {f"evaluation/{unit}": getattr(self._phase(Phase.SELECT), unit) for unit in UNITS}
        for name in ("peak_host_bytes", "peak_device_bytes", *ENERGIES):
            if getattr(self, name) is not None:
                flat[f"cost/{name}"] = getattr(self, name)
        return {name: float(value) for name, value in flat.items()}

    def __add__(self, other: Ledger) -> Ledger:
        """Costs and energy add up, peaks take the maximum.

        The sum's energy is unknown when one side's is: half of a sum would pass for the whole.
        """
        empty = Ledger()
        if empty in (self, other):
            return other if self == empty else self
        return Ledger(
            phases={phase: self._phase(phase) + other._phase(phase) for phase in Phase},
            peak_host_bytes=highest(self.peak_host_bytes, other.peak_host_bytes),
            peak_device_bytes=highest(self.peak_device_bytes, other.peak_device_bytes),
            **{name: added(getattr(self, name), getattr(other, name)) for name in ENERGIES},
            uncounted=dict(Counter(self.uncounted) + Counter(other.uncounted)),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-able; integers stay exact."""
        return {
            "phases": {str(phase): asdict(cost) for phase, cost in self.phases.items()},
            "peak_host_bytes": self.peak_host_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            **{name: getattr(self, name) for name in ENERGIES},
            "uncounted": dict(self.uncounted),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the data are not a ledger's.
        """
        phases = {Phase(name): PhaseCost(**cost) for name, cost in data["phases"].items()}
        data = {name: value for name, value in data.items() if name != "energy_joules"}  # of earlier versions: None
        return cls(**{**data, "phases": nothing() | phases})

    def _phase(self, phase: Phase) -> PhaseCost:
        return self.phases.get(phase, PhaseCost())


def highest(*peaks: int | None) -> int | None:
    """The largest known peak."""
    return max((peak for peak in peaks if peak is not None), default=None)


def added(one: float | None, other: float | None) -> float | None:
    """The sum; unknown when one side is: half of a sum would pass for the whole."""
    return None if one is None or other is None else one + other

"""What a sweep and each of its studies have spent, folded from events; and which limit that reaches.

Everything that was paid for counts: the methods' work, the harness's evaluation, and what was done twice or came to
nothing. What a worker did between its last word and its death was never seen, and is in no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from search.settings import Limits, Resources
from search.study import Comparison
from tracking.journal import Event

Study = tuple[str, str]  # problem, method
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Level:
    """A trial's ledger at one report, cumulative.

    Args:
        flops: counted, of the method and of the harness.
        seconds: elapsed in slices and their evaluation.
    """

    flops: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> Level:
        return cls(
            metrics.get("cost/flops", 0.0) + metrics.get("evaluation/flops", 0.0),
            metrics.get("cost/wall_seconds", 0.0) + metrics.get("evaluation/wall_seconds", 0.0),
        )


@dataclass
class _Course:
    """What one open trial's ledger has read so far.

    Args:
        levels: by the report's index, as first made.
        attempt: index and level of the latest report of the present attempt; None before there is one.
    """

    levels: dict[int, Level] = field(default_factory=dict)
    attempt: tuple[int, Level] | None = None

    def before(self, index: int, level: Level, failed: bool) -> Level:
        """Where the ledger stood before the slice that ended at `level`."""
        if self.attempt is not None and (failed or self.attempt[0] == index - 1):
            return self.attempt[1]
        if not failed:
            return self.levels.get(index - 1, Level())
        # An attempt that failed in its first slice began at some checkpoint: the latest that it is not behind of.
        below = [known for known in self.levels.values() if known.flops <= level.flops]
        return max(below, key=lambda known: known.flops, default=Level())


class Tally:
    """What some trials have cost, from what they reported; knows nothing of files or of clocks.

    Args:
        devices: how many GPUs a trial holds where it asks for any, else how many CPUs.
        price: of one device for an hour.
    """

    def __init__(self, devices: float = 1.0, price: float = 0.0) -> None:
        self.devices, self.price = devices, price
        self.asked = self.ended = 0
        self.flops = self.run_seconds = 0.0
        self._open: dict[str, _Course] = {}

    @property
    def device_seconds(self) -> float:
        """Seconds that trials held a device, times how many."""
        return self.run_seconds * self.devices

    @property
    def money(self) -> float:
        return self.device_seconds / SECONDS_PER_HOUR * self.price

    def ask(self, uid: str) -> None:
        """A trial was asked for."""
        self.asked += 1
        self._open[uid] = _Course()

    def take(self, uid: str, index: int, metrics: Mapping[str, float], failed: bool = False) -> None:
        """One report of a trial, or what a failed attempt had spent; a repeated one is paid again.

        Args:
            index: of the report within the trial.
            metrics: with the cumulative ledger; empty where it is not known.
            failed: the slice came to nothing, and another attempt may follow.
        """
        course = self._open.setdefault(uid, _Course())
        if metrics:
            level = Level.of(metrics)
            before = course.before(index, level, failed)
            self.flops += max(0.0, level.flops - before.flops)
            self.run_seconds += max(0.0, level.seconds - before.seconds)
            course.attempt = (index, level)
            if not failed:
                course.levels.setdefault(index, level)
        if failed:
            course.attempt = None

    def restart(self) -> None:
        """A new driver: every open trial goes on with another attempt."""
        for course in self._open.values():
            course.attempt = None

    def end(self, uid: str) -> None:
        """A trial has ended, however."""
        self.ended += 1
        self._open.pop(uid, None)

    def full(self, limits: Limits) -> bool:
        """Whether no further trial may be asked for."""
        return limits.trials is not None and self.asked >= limits.trials

    def exceeded(self, limits: Limits, wall_seconds: float | None = None) -> str | None:
        """The first limit that is reached, in words; trials count once they have ended.

        Args:
            wall_seconds: what `limits.wall_seconds` is about; None means the time that the trials ran, summed.
        """
        return next((f"{name}: {spent:.4g} of {limit:.4g}" for name, spent, limit in
                     self.uses(limits, wall_seconds) if spent >= limit), None)

    def uses(self, limits: Limits, wall_seconds: float | None = None) -> Iterator[tuple[str, float, float]]:
        """Every limit that is set: its name, what is spent of it, and how much that may be."""
        spent = {
            "wall_seconds": self.run_seconds if wall_seconds is None else wall_seconds, "flops": self.flops,
            "device_seconds": self.device_seconds, "money": self.money, "trials": float(self.ended),
        }
        for name, value in spent.items():
            limit = getattr(limits, name)
            if limit is not None:
                yield name, value, float(limit)


class Spending:
    """The tally of a whole sweep and of each of its studies; an observer of events.

    Args:
        comparison: what a device is, and its price; None takes both from the journal's first event.
    """

    def __init__(self, comparison: Comparison | None = None) -> None:
        self._fixed = comparison is not None
        devices, price = (1.0, 0.0) if comparison is None else _rates(comparison)
        self.total = Tally(devices, price)
        self.studies: dict[Study, Tally] = {}
        self._study_of: dict[str, Study] = {}
        self._earlier_ms = self._began_ms = self._now_ms = 0

    def take(self, event: Event) -> None:
        """One event, in the journal's order."""
        kind, now = event["kind"], int(event.get("time_ms", self._now_ms))
        match kind:
            case "sweep" | "resumed":
                self._earlier_ms += self._now_ms - self._began_ms
                self._began_ms = now
                if kind == "sweep" and not self._fixed:
                    self._read_rates(event.get("comparison") or {})
                for tally in (self.total, *self.studies.values()):
                    tally.restart()
            case "asked":
                self._study_of[event["uid"]] = (event["problem"], event["method"])
                for tally in self._tallies(event["uid"]):
                    tally.ask(event["uid"])
            case "result" | "repeated" | "retry":
                failed = kind == "retry" or event.get("status") == "failed"
                for tally in self._tallies(event["uid"]):
                    tally.take(event["uid"], event["index"], event["metrics"], failed)
            case "ended":
                for tally in self._tallies(event["uid"]):
                    tally.end(event["uid"])
                self._study_of.pop(event["uid"], None)
        self._now_ms = now

    def wall_seconds(self, now_ms: int | None = None) -> float:
        """Time with a driver running, up to the last event or to now; between drivers nothing is counted.

        Args:
            now_ms: by the journal's clock.
        """
        now = self._now_ms if now_ms is None else max(now_ms, self._now_ms)
        return (self._earlier_ms + now - self._began_ms) / 1000

    def full(self, limits: Limits) -> bool:
        """Whether no further trial may be asked for."""
        return self.total.full(limits)

    def exceeded(self, limits: Limits, now_ms: int | None = None) -> str | None:
        """The first limit that the sweep has reached, in words: "flops: 1.2e+12 of 1e+12"."""
        return self.total.exceeded(limits, self.wall_seconds(now_ms))

    def uses(self, limits: Limits, now_ms: int | None = None) -> Iterator[tuple[str, float, float]]:
        """Every limit that is set: its name, what is spent of it, and how much that may be."""
        return self.total.uses(limits, self.wall_seconds(now_ms))

    def reprice(self, price: float) -> None:
        """Count all device-hours, also those before, at another price."""
        for tally in (self.total, *self.studies.values()):
            tally.price = price

    def _tallies(self, uid: str) -> tuple[Tally, ...]:
        study = self._study_of.get(uid)
        if study is None:
            return ()  # a late word of a trial that has ended
        if study not in self.studies:
            self.studies[study] = Tally(self.total.devices, self.total.price)
        return self.total, self.studies[study]

    def _read_rates(self, comparison: Mapping[str, object]) -> None:
        resources = Resources.model_validate(comparison.get("resources") or {})
        price = comparison.get("price_per_device_hour")
        self.total.devices = devices_of(resources)
        self.total.price = float(price) if isinstance(price, int | float) else 0.0


def devices_of(resources: Resources) -> float:
    """How many of what its money buys a trial holds: GPUs where it asks for any, else CPUs."""
    return resources.gpus if resources.gpus > 0 else resources.cpus


def tally_of(comparison: Comparison) -> Tally:
    """An empty tally with the comparison's devices and price: for the limits of one study."""
    return Tally(*_rates(comparison))


def _rates(comparison: Comparison) -> tuple[float, float]:
    return devices_of(comparison.resources), comparison.price_per_device_hour

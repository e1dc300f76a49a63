"""One MLflow run on its way into the store; imports no MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]


@dataclass
class Run:
    """One run: what is stored, and what waits for the next flush.

    Args:
        seq: the last event stored.
        step: the last report seen.
        latest: the last value of each metric.
        has_data: whether its data set is stored; `data` waits to be.
    """

    run_id: str
    role: str
    status: str
    seq: int = -1
    step: int = 0
    latest: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    has_data: bool = False
    data: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    points: list[tuple[str, float, int, int]] = field(default_factory=list)  # name, value, time_ms, step
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    final: tuple[str, int] | None = None  # status, time_ms
    waiting: list[int] = field(default_factory=list)  # sequence numbers

    def is_news(self, event: Event) -> bool:
        """Whether the event is not stored yet; then it will be with the next flush."""
        if event["seq"] <= self.seq:
            return False
        self.waiting.append(event["seq"])
        return True

    def add(self, metrics: Mapping[str, float], time_ms: int, step: int) -> None:
        self.points += [(name, value, time_ms, step) for name, value in metrics.items()]

    def drop_waiting(self) -> None:
        self.points, self.params, self.tags, self.final, self.waiting = [], {}, {}, None, []
        self.data = None

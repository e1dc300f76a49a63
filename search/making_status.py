"""Where the artefacts of a sweep stand, from its events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from search.preparation import Making
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.artefact import SHORT
from trainables.making import PROGRESS

READY = (Making.READY, Making.FAILED)


@dataclass
class MakingStanding:
    """One artefact.

    Args:
        progress: of its training, in [0, 1].
        flops: spent on it in this sweep.
        cached: whether it was in the store already.
        place: where it is; empty before it is ready.
    """

    label: str
    stand: Making = Making.WAITING
    progress: float = 0.0
    flops: float = 0.0
    cached: bool = False
    place: str = ""

    @property
    def words(self) -> str:
        """For a cell: "waiting", "making 40 %", "ready", "found", "failed"."""
        match self.stand:
            case Making.ASKED:
                return f"making {self.progress:.0%}".replace("%", " %")
            case Making.READY:
                return "found" if self.cached else "ready"
        return str(self.stand)

    @property
    def left_flops(self) -> float:
        """Of its training; 0 as long as it has not shown what it costs."""
        if self.stand is not Making.ASKED or self.progress <= 0:
            return 0.0
        return self.flops / self.progress - self.flops


@dataclass
class Makings:
    """Folds events into the standing of every artefact, by its key."""

    known: dict[str, MakingStanding] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)  # uid of a trial -> key

    def take(self, event: Event) -> None:
        match event["kind"]:
            case "sweep":
                told = (event.get("artefacts") or {}).get("specs", {})
                self.known = {
                    key: MakingStanding(f"{spec['maker']} on {spec['source']['label']}") for key, spec in told.items()
                }
            case "asked" if event["stage"] == Stage.ARTEFACT:
                self._keys[event["uid"]] = event["key"]
                standing = self._of(event["key"], event["label"])
                standing.stand, standing.progress, standing.flops = Making.ASKED, 0.0, 0.0
            case "result" if event["uid"] in self._keys:
                standing = self.known[self._keys[event["uid"]]]
                standing.flops = max(standing.flops, float(event["flops"]))
                standing.progress = event["metrics"].get(PROGRESS, standing.progress)
            case "ended" if event["uid"] in self._keys and event["status"] == Status.FAILED:
                self.known[self._keys[event["uid"]]].stand = Making.FAILED
            case "artefact":
                standing = self._of(event["key"], event["label"])
                standing.stand, standing.cached, standing.place = Making.READY, event["cached"], event["uri"]
                standing.progress = 1.0
            case "artefact_gone":
                self.known[event["key"]].stand = Making.WAITING

    @property
    def left_flops(self) -> float:
        return sum(standing.left_flops for standing in self.known.values())

    @property
    def share_done(self) -> float:
        """The mean progress, in [0, 1]; of a failed one nothing is left to do."""
        done = [1.0 if s.stand in READY else s.progress for s in self.known.values()]
        return sum(done) / len(done) if done else 0.0

    def rows(self, problem: str) -> list[tuple[str, ...]]:
        """In the columns of the studies' table; artefacts of one name are told apart by their keys.

        Args:
            problem: what stands in the first one.
        """
        often = Counter(standing.label for standing in self.known.values())
        return [
            (problem, s.label if often[s.label] == 1 else f"{s.label}, {key[:SHORT]}", s.words, "", "", "")
            for key, s in self.known.items()
        ]

    def records(self) -> list[dict[str, Any]]:
        """As plain values."""
        return [
            {
                "key": key, "label": s.label, "stage": str(s.stand), "progress": s.progress, "cached": s.cached,
                "flops": s.flops, "place": s.place or None,
            }
            for key, s in self.known.items()
        ]

    def _of(self, key: str, label: str) -> MakingStanding:
        return self.known.setdefault(key, MakingStanding(label))

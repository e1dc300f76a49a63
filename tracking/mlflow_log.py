"""A plain observer of journal events that keeps MLflow up to date and is never in the way of the sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tracking.background import Background
from tracking.mlflow_run import Event
from tracking.mlflow_writer import ATTACH, NETWORK, RESULT, Writer
from tracking.read import Store, default_store

__all__ = ["MlflowLog", "Store", "default_store"]


class MlflowLog:
    """Writes events on a thread of its own; nothing that MLflow does reaches the caller.

    Args:
        store: where to.
        sweep: its name; runs are found again by it.
        tell: called on that thread after every attempt, with how many events wait, and what went wrong or None.
    """

    def __init__(
        self, store: Store, sweep: str, tell: Callable[[int, str | None], None] = lambda left, error: None
    ) -> None:
        writer = Writer(store, sweep)
        self._background: Background[Event] = Background(writer.write, writer.finish, tell)
        writer.note = self._background.note
        self.errors = self._background.errors

    def observe(self, event: Event) -> None:
        """Returns at once. Kinds other than `Writer.KINDS` are none of MLflow's business."""
        if event.get("kind") in Writer.KINDS:
            self._background.put(dict(event))

    def attach(self, paths: Path | Iterable[Path]) -> None:
        """Files or folders, such as the report, for the sweep's run."""
        chosen = [paths] if isinstance(paths, Path) else list(paths)
        self._background.put({"kind": ATTACH, "paths": chosen})

    def results(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What came out of each study, for its parent run, so that MLflow's own views compare the methods.

        Args:
            rows: `problem`, `method`, `metrics` (name -> number) and `chosen`, the configuration; None before there is
                one.
        """
        for row in rows:
            self._background.put({"kind": RESULT, **row})

    def networks(self, found: Iterable[Mapping[str, Any]]) -> None:
        """The best network of each problem, as a registered model with a signature.

        Args:
            found: `problem`, `method`, `select_score`, and `program`, bytes of `torch.export.save`.
        """
        for one in found:
            self._background.put({"kind": NETWORK, **one})

    def close(
        self, timeout: float, patience: float | None = None, waiting: Callable[[int], None] = lambda left: None
    ) -> int:
        """Write what is left within `timeout` seconds; the number of events that were not written.

        Args:
            patience: seconds after which to give up on a store that does not take them; None waits for the timeout.
            waiting: told how many are left, once, where it takes a while.
        """
        return self._background.close(timeout, patience, waiting)

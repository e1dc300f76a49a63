"""One quiet screen while a sweep runs: trials, best so far, cost, time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from search.status import Standing
from tracking.journal import Event
from tracking.record import Status

REFRESH_SECONDS = 0.5


class Screen:
    """An observer of events: a live table on a terminal, one plain line per ended trial elsewhere."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._standing = Standing()
        self._live: Live | None = None
        self._drawn = 0.0
        self._news = False  # whether the latest event is one that no earlier driver has told
        self._quiet_until_seq = -1

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()  # takes the table off the screen; where things stand stays
            if self._news:
                self._console.print(self._standing.foot(), highlight=False, markup=False, soft_wrap=True)

    def skip(self, events: int) -> None:
        """Say nothing about the first so many events: an earlier driver has told them."""
        self._quiet_until_seq = events - 1

    def __call__(self, event: Event) -> None:
        self._standing.take(event)
        self._news = news = event["seq"] > self._quiet_until_seq
        if news and (self._live is None or self._lasting(event)):
            line = self._standing.line(event)
            if line:
                self._console.print(line, highlight=False, markup=False, soft_wrap=self._live is None)
        if self._live is not None and news and self._clock() - self._drawn > REFRESH_SECONDS:
            self._drawn = self._clock()
            self._live.update(standing_view(self._standing), refresh=True)

    @staticmethod
    def _lasting(event: Event) -> bool:
        """What stays above the table, because the table does not tell it."""
        if event["kind"] == "ended":
            return bool(event["status"] == Status.FAILED)
        lasting = ("stage_done", "retry", "warning", "artefact", "artefact_gone")
        return event["kind"] in lasting or bool(event.get("dashboard"))


def standing_view(standing: Standing) -> Group:
    """The table, how much is done, and what was spent."""
    bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=40), TextColumn("{task.percentage:.0f} %"))
    bar.add_task("work", total=100, completed=round(100 * standing.share_done))
    lines = [standing.foot(), standing.limits_line()]
    return Group(standing_table(standing), bar, *(Text(line) for line in lines if line))


def standing_table(standing: Standing) -> Table:
    """Where every study stands."""
    table = Table(box=None, pad_edge=False)
    for column in ("problem", "method", "stage"):
        table.add_column(column)
    for column in ("trials", "best select score", "budget used"):
        table.add_column(column, justify="right")
    for row in standing.rows():
        table.add_row(*row)
    return table

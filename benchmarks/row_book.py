"""Rows of a benchmark on disk: what is there is not done again, and a cut line loses itself alone."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracking.provenance import collect

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that makes one row.

    Args:
        name: the fields of the row that tell it from all others.
        work: makes it.
    """

    name: Row
    work: Callable[[], Row]


class Book:
    """Rows in memory, and in a file where there is one: what is in the file is not done again."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.rows = path, [] if path is None else list(read(path))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.read_bytes().endswith(b"\n"):  # a kill cut the last line short
                with path.open("a") as file:
                    file.write("\n")
            self._append({"part": "start", "command": command(sys.argv), "provenance": collect(HERE), **_now()})
        self._commit = collect(HERE)["commit"]

    def take(self, job: Job, again: bool = False) -> Row:
        """The row of a job, from the file if it is there and may be taken from there."""
        if not again and (known := self.known(job)) is not None:
            return known
        row = {**job.work(), "commit": self._commit, **_now()}
        assert all(row.get(key) == value for key, value in job.name.items()), "a row must have the name of its job"
        return self._append(row)

    def known(self, job: Job) -> Row | None:
        """Its row, where there is one."""
        return next((row for row in self.rows if all(row.get(k) == v for k, v in job.name.items())), None)

    def _append(self, row: Row) -> Row:
        """Kept, and given back, as a later run would read it."""
        row = _rounded(row)
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return row


def command(words: Sequence[str]) -> str:
    """As it was given; of absolute paths the last part alone, for where files lie is one machine's business."""
    return shlex.join(Path(word).name if word.startswith("/") else word for word in words)


def read(path: Path) -> Iterator[Row]:
    """Whole lines; a line that a kill cut short is left out."""
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                print(f"{path}: a line that is not whole is left out", file=sys.stderr)


def _now() -> Row:
    return {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _rounded(value: Any) -> Any:
    """Floats to six significant digits: rows stay small."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value

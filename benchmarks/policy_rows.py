"""Rows of `policy_budgets.py` in their book: which sweep they are of, and which of them are made again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from row_book import Book, Job, Row, read

from tracking.errors import UserError
from tracking.journal import Event

DIGEST = "sweep_digest"  # the first kept rows have none
KEPT = {"accuracy": "test/score", "own_copies": "test/score_own_copies", "common_copies": "test/score_common_copies"}


def digest(first: Event) -> str:
    """Of the sweep that began with this event: what it compares, and when it began."""
    told = json.dumps([first["comparison"], first["time_ms"]], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def old(job: Job) -> Job:
    """The same, as it was named when rows had no digest."""
    return Job({**job.name, DIGEST: None}, job.work)


def check_old(path: Path, ends: Sequence[Job]) -> None:
    """Raises UserError where the rows without a digest are of another sweep, of the same name: they have other ends.

    Asked of the file, before it is opened as a book, which writes that a run began.
    """
    book = Book(None)
    book.rows += read(path)
    for job in ends:
        row, kept = job.work(), book.known(old(job))
        names = [name for name in (*KEPT, "flops") if kept and not math.isclose(kept[name], row[name], rel_tol=1e-5)]
        if names:
            what = f"{', '.join(names)} of {job.name['method']} on {job.name['problem']}, seed {job.name['seed']}"
            raise UserError("the rows that were kept must be of this sweep", f"other {what} in {path}",
                            "leave --kept out")


def read_again(book: Book, jobs: Sequence[Job]) -> list[Row]:
    """Rows that cost nothing are made again, and kept where they are missing."""
    for job in jobs:
        if book.known(job) is None:
            book.take(job)
    return [job.work() for job in jobs]


def trained(book: Book, jobs: Sequence[Job], processes: int, kept: bool) -> list[Row]:
    """Rows that are trained, in several processes, where the book has none.

    Args:
        kept: whether rows without a digest are taken.
    """
    chosen = [old(job) if kept and book.known(job) is None and book.known(old(job)) else job for job in jobs]
    with ProcessPoolExecutor(processes) as pool:
        ahead = [pool.submit(job.work) if book.known(job) is None else None for job in chosen]
        return [
            book.take(job if coming is None else Job(job.name, coming.result))
            for job, coming in zip(chosen, ahead, strict=True)
        ]

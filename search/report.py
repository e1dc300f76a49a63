"""A sweep's report as files: one self-contained HTML file, a Markdown summary, every figure and every table."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from search import gains, leftovers, overview
from search.analysis import rows as analyse
from search.exhibits import Exhibits, Records
from search.figures.accuracy_cost import picture
from search.figures.style import png, svg
from search.page import page
from search.row import Row
from search.strips import strips
from search.summary import summary
from search.tables import record, seed_records, to_csv, to_parquet
from tracking.journal import Event
from tracking.storage import Place

FIGURES = "figures"  # the folder below the report


def write(events: Sequence[Event], folder: Path, exports: Place | None = None) -> list[Path]:
    """Write the report once all of it is made; each file is there in full or not at all.

        report.html, summary.md
        accuracy_cost                   all problems in one figure, .svg and .png; what it shows is in table
        table, scores, gains, overall   as .csv and .parquet
        figures/                        every figure as .svg and .png, what it shows as .csv and .parquet

    Args:
        exports: where the sweep's methods left what people take away; its example images are shown.

    Returns:
        Files and the folder of figures.
    """
    found = analyse(events)
    exhibits = Exhibits(found, events)
    shown = [] if exports is None else strips(exports, exhibits.plan)
    files = dict(_files(found, events, exhibits))
    files["report.html"] = page(found, events, exhibits, shown).encode()
    written = [folder / name for name in files]
    files |= {f"{FIGURES}/{name}": content for name, content in _figures(exhibits)}
    files[leftovers.NAME] = leftovers.manifest({name: sha256(data).hexdigest() for name, data in files.items()})
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace(folder / name, content)
    return [*written, folder / FIGURES]


def _files(found: Sequence[Row], events: Sequence[Event], exhibits: Exhibits) -> Iterator[tuple[str, bytes]]:
    gained = [
        line for problem in exhibits.plan.problems
        for line in gains.records(exhibits.gains([row for row in found if row.problem == problem]))
    ]
    yield from _table("table", [record(row) for row in found])
    yield from _table("scores", seed_records(found))
    if gained:
        yield from _table("gains", gained)
    if overall := overview.records(overview.overall(found)):
        yield from _table("overall", overall)
    everything = picture(found)
    yield "accuracy_cost.svg", svg(everything)
    yield "accuracy_cost.png", png(everything)
    yield "summary.md", summary(found, events, exhibits).encode()


def _figures(exhibits: Exhibits) -> Iterator[tuple[str, bytes]]:
    for problem in exhibits.plan.problems:
        for exhibit in exhibits.of(problem):
            yield f"{exhibit.name}.svg", exhibit.images.svg
            yield f"{exhibit.name}.png", exhibit.images.png
            yield from _table(exhibit.name, exhibit.records)


def _table(name: str, records: Records) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.csv", to_csv(records).encode()
    yield f"{name}.parquet", to_parquet(records)


def replace(path: Path, content: bytes) -> Path:
    """Write beside the target and rename: a reader never sees half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path

"""What a confirmed trial leaves for people: exported files, and what they should know about the data."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tracking.errors import StorageError
from tracking.storage import Place
from trainables.method import Exports, Method, Warns


def take_away(method: Method, where: str) -> list[str]:
    """Export into a place and collect the method's warnings. Nothing here fails a trial: its results are in.

    Args:
        where: a path or a URI; empty exports nothing.

    Returns:
        One sentence each.
    """
    notes = list(method.warnings()) if isinstance(method, Warns) else []
    if where and isinstance(method, Exports):
        try:
            with tempfile.TemporaryDirectory(prefix="invsearch-") as folder:
                files = method.export(Path(folder))
                place = Place.of(where)
                for name in files.values():
                    place.write(name, (Path(folder) / name).read_bytes())
        except StorageError as error:
            notes.append(f"the export could not be written: {error}")
        except Exception as error:
            notes.append(f"the export failed: {type(error).__name__}: {error}")
    return notes

"""What a confirmed trial leaves for people: exported files, and what they should know about the data."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from tracking.errors import StorageError
from tracking.storage import Place
from trainables.method import Deploys, Exports, Method, Warns
from trainables.problems.target_units import InUserUnits, TargetUnits
from trainables.program import NAME, program


def take_away(
    method: Method, where: str, shape: tuple[int, ...], units: TargetUnits | None = None
) -> list[str]:
    """Export into a place and collect the method's warnings. Nothing here fails a trial: its results are in.

    Args:
        where: a path or a URI; empty exports nothing.
        shape: of one input.
        units: of real targets, which the program's outputs are in.

    Returns:
        One sentence each.
    """
    notes = _warnings(method)
    if where:
        for leave in (_files, partial(_network, shape=shape, units=units)):
            try:
                for name, content in leave(method).items():
                    Place.of(where).write(name, content)
            except StorageError as error:
                notes.append(f"the export could not be written: {error}")
            except Exception as error:
                notes.append(f"the export failed: {type(error).__name__}: {error}")
    return notes


def _warnings(method: Method) -> list[str]:
    """What the method has to say, or that it could not."""
    try:
        return list(method.warnings()) if isinstance(method, Warns) else []
    except Exception as error:
        return [f"what the method warns of could not be asked: {type(error).__name__}: {error}"]


def _files(method: Method) -> dict[str, bytes]:
    """What the method itself exports."""
    if not isinstance(method, Exports):
        return {}
    with tempfile.TemporaryDirectory(prefix="invsearch-") as folder:
        return {name: (Path(folder) / name).read_bytes() for name in method.export(Path(folder)).values()}


def _network(method: Method, shape: tuple[int, ...], units: TargetUnits | None) -> dict[str, bytes]:
    """The trained network as a program."""
    if not isinstance(method, Deploys):
        return {}
    network = method.deployed()
    return {NAME: program(network if units is None else InUserUnits(network, units), shape)}

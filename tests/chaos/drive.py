"""A driver in a process of its own, to be killed: `python -m tests.chaos.drive PLACE FIELDS [--address A] [--cpus N]`.

Launches the sweep at PLACE, or goes on with it where it exists. FIELDS are the comparison's, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from search import runner
from search.cluster import Connection
from search.study import Comparison
from search.sweep import Observer, Sweep
from tests.chaos.trial import Chained
from tracking.errors import UserError
from tracking.mlflow_log import MlflowLog, default_store
from tracking.storage import Place

DRAIN_SECONDS = 60.0
NEWBORN = {"comparison.json", "journal.jsonl", "journal", "driver.json"}


def drive(place: Place, described: Comparison, connection: Connection, observers: Sequence[Observer]) -> int:
    """Until the sweep's end; the exit code."""
    sweep = Sweep(place)
    if sweep.place.exists("comparison.json") and sweep.events():
        return int(runner.resume(sweep, observers, connection, trainable=Chained).code)
    _clear(place)
    return int(runner.compare(described, place, observers, connection, trainable=Chained).code)


def _clear(place: Place) -> None:
    """Killed before its first event, a sweep leaves nothing to go on with; a folder of anything else is left alone.

    Raises:
        UserError: the folder holds what no sweep without events does.
    """
    strange = set(place.names()) - NEWBORN
    if strange:
        raise UserError("only a sweep without events may be begun again", f"{place} holds {sorted(strange)}")
    place.delete()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("fields")
    parser.add_argument("--address")
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--mlflow", help="folder of a store")
    given = parser.parse_args()
    place = Place.of(given.place)
    log = None if given.mlflow is None else MlflowLog(default_store(Path(given.mlflow), place.name), place.name)
    try:
        connection = Connection(address=given.address, cpus=given.cpus)
        described = Comparison.model_validate(json.loads(given.fields))
        return drive(place, described, connection, () if log is None else (log.observe,))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        if log is not None:
            log.close(DRAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

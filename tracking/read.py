"""Where the MLflow store is, and reading runs back from it."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from tracking.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

URI_VARIABLE = "MLFLOW_TRACKING_URI"
REMOTE = ("http", "https", "databricks", "databricks-uc")  # these keep the artefacts themselves
ANSWER_SECONDS = 5.0
# MLflow asks a server that answers with an error for minutes.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
LONGEST_FOLDER = 60  # characters of up to four bytes: file systems take 255
TRIAL = "trial"  # the tag `role` of a trial's run


@dataclass(frozen=True)
class Store:
    """Where runs go.

    Args:
        uri: a tracking URI of MLflow.
        experiment: its name; made when it does not exist.
        artifact_root: the folder of a new experiment's artefacts; None leaves that to the server.
    """

    uri: str
    experiment: str
    artifact_root: Path | None


def default_store(folder: Path, experiment: str, known: str | None = None) -> Store:
    """A known URI, else `MLFLOW_TRACKING_URI` where it is set, else `mlflow.db` (SQLite) in a local folder.

    Artefacts lie beside a database that is a file, and else in the folder, where no server keeps them. Writes nothing
    and imports no MLflow: the database is made by whoever connects first.

    Raises:
        UserError: the folder's path cannot stand in a URI of a database.
    """
    folder = folder.resolve()
    uri = known or os.environ.get(URI_VARIABLE) or _sqlite_uri(folder / "mlflow.db")
    remote = urlsplit(uri).scheme in REMOTE or uri in REMOTE
    database = _sqlite_path(uri)
    beside = folder if database is None else database.resolve().parent
    return Store(uri, experiment, None if remote else beside / "mlartifacts")


def connect(store: Store) -> MlflowClient:
    """A client of a store that answers; makes a SQLite database that is missing.

    Raises:
        OSError: a server takes no connections; told in seconds, not after MLflow's minutes of retries.
        Exception: whatever MLflow and its store raise.
    """
    _check_answers(store.uri)
    client_class = _quiet_client_class()
    if (path := _sqlite_path(store.uri)) is not None:
        _create_once(path, client_class)
        _wait_for_the_disk_less_often()
    return client_class(tracking_uri=store.uri)


def reachable(store: Store) -> None:
    """Return if the store answers a query, at once or at the second try.

    Raises:
        Exception: it does not; the message is the store's own.
    """
    with _defaults(IMPATIENT):
        connect(store).search_experiments(max_results=1)


@contextmanager
def _defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that the user has not set."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def experiment_id(client: MlflowClient, store: Store) -> str:
    """The experiment's id; a missing one is made, a deleted one is restored."""
    found = client.get_experiment_by_name(store.experiment)
    if found is None:
        location = None if store.artifact_root is None else (store.artifact_root / _folder(store.experiment)).as_uri()
        return str(client.create_experiment(store.experiment, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _folder(experiment: str) -> str:
    """What the folder of an experiment's artefacts is called: its name, where that is a name of one folder."""
    plain = re.sub(r"[^\w. -]", "-", experiment).strip(". ")
    if plain == experiment and len(plain) <= LONGEST_FOLDER:
        return plain
    return f"{plain[:LONGEST_FOLDER]}-{sha256(experiment.encode()).hexdigest()[:8]}".lstrip("-")


def sweep_runs(client: MlflowClient, experiment: str, sweep: str) -> Iterator[Run]:
    """All runs of a sweep, whatever their role; page by page."""
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.sweep = '{_escaped(sweep)}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def runs(store: Store, sweep: str) -> list[dict[str, Any]]:
    """The trials' runs of a sweep, in the order in which they were asked.

    Returns:
        Dictionaries with `run_id`, `status`, `start_ms`, `end_ms`, `params`, `tags`, `metrics` (last values).
    """
    client = connect(store)
    found = client.get_experiment_by_name(store.experiment)
    if found is None:
        return []
    rows = [_row(run) for run in sweep_runs(client, found.experiment_id, sweep)]
    trials = [row for row in rows if row["tags"].get("role") == TRIAL]
    return sorted(trials, key=lambda row: (row["start_ms"], row["tags"]["uid"]))


def history(store: Store, run_id: str, metric: str) -> list[tuple[int, int, float]]:
    """A curve as (step, time_ms, value), sorted."""
    points = connect(store).get_metric_history(run_id, metric)
    return sorted((point.step, point.timestamp, point.value) for point in points)


def _row(run: Run) -> dict[str, Any]:
    info, data = run.info, run.data
    return {
        "run_id": info.run_id, "status": info.status, "start_ms": info.start_time, "end_ms": info.end_time,
        "params": dict(data.params), "tags": dict(data.tags), "metrics": dict(data.metrics),
    }


def _escaped(text: str) -> str:
    """Sweep names hold no quotes (search refuses them); one from elsewhere must not end the string."""
    return text.replace("'", "")


def _check_answers(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.scheme in getproxies():
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=ANSWER_SECONDS).close()


def _quiet_client_class() -> type[MlflowClient]:
    """Import MLflow (seconds) without its telemetry and its chatter."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient


def _sqlite_uri(path: Path) -> str:
    """As SQLAlchemy reads it: not quoted, as some of its versions take quotes for a part of the name."""
    if re.search(r"\?|%[0-9A-Fa-f]{2}", str(path)):
        raise UserError(
            "the path of MLflow's database may not hold `?`, nor `%` before two digits", path,
            f"give another --root, or say where runs go by {URI_VARIABLE}",
        )
    return f"sqlite:///{path}"


def _sqlite_path(uri: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)) if uri.startswith(prefix) and len(uri) > len(prefix) else None


@cache
def _wait_for_the_disk_less_often() -> None:
    """From now on a commit to an SQLite database in WAL mode does not wait for the disk; MLflow makes ten per run.

    The database stays sound. A power cut may take the last commits, in order, and the journal brings them again.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")  # type: ignore[untyped-decorator, unused-ignore]
    def relax(connection: Any, record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            (mode,) = connection.execute("pragma journal_mode").fetchone()
            if mode == "wal":
                connection.execute("pragma synchronous=NORMAL")


def _create_once(path: Path, client_class: type[MlflowClient]) -> None:
    """Make the database under a lock and another name: processes that make the same one at once break it."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        client_class(tracking_uri=f"sqlite:///{temporary}").search_experiments()
        with closing(sqlite3.connect(temporary)) as database:
            database.execute("pragma journal_mode=WAL")
            database.execute("pragma wal_checkpoint(TRUNCATE)")
        temporary.replace(path)

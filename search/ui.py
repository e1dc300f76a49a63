"""`invsearch ui`: MLflow's own pages on the store that the sweeps write to."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from search import store as stores
from search import sweep as sweeps
from tracking.errors import UserError
from tracking.mlflow_log import Store
from tracking.read import REMOTE

WAIT_SECONDS = 5.0  # for a database in use
HOST, SQLITE = "127.0.0.1", "sqlite:///"


def command(store: Store, port: int) -> list[str]:
    """What opens a store; the server listens on this machine alone."""
    return [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri, "--host", HOST, "--port", str(port),
    ]


def show(root: str | None, port: int) -> int:
    """Serve the pages until Ctrl-C; the exit code of MLflow.

    Raises:
        UserError: the sweeps' MLflow is a server of its own, nothing was written yet, or it is no database.
    """
    base = sweeps.root(root)
    store, note = stores.chosen(base, "")
    if urlsplit(store.uri).scheme in REMOTE or store.uri in REMOTE:
        raise UserError("MLflow's pages are on its server", store.uri, "open that address in a browser")
    if store.uri.startswith(SQLITE):
        check(Path(store.uri.removeprefix(SQLITE)))
    if note is not None:
        print(note, file=sys.stderr)
    print(f"MLflow on {store.uri}: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    return subprocess.call(command(store, port))


def check(path: Path) -> None:
    """Raises UserError where there is no database that MLflow could open; one that is in use is none of these."""
    if not path.exists():
        raise UserError("there must be a store", f"no {path}", "run `invsearch compare` first, or give its --root")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", timeout=WAIT_SECONDS, uri=True)) as database:
            database.execute("select count(*) from sqlite_master")
    except sqlite3.DatabaseError as error:
        kind = error.sqlite_errorcode & 0xFF
        if kind in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise UserError(
                "MLflow's store must be an SQLite database", f"{path}: {error}",
                "move it away; `invsearch sync NAME`, with the --root of the sweeps, writes a new one from the "
                "journal of each",
            ) from None
        if kind not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise UserError("MLflow's store must be readable", f"{path}: {error}", "is it a file, and may you write it?"
                            ) from None

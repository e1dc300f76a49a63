"""`invsearch ui`: MLflow's own pages on the store that the sweeps write to."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

from search import store as stores
from search import sweep as sweeps
from tracking.errors import UserError
from tracking.mlflow_log import Store
from tracking.read import REMOTE
from tracking.storage import Place

HOST = "127.0.0.1"


def command(store: Store, port: int) -> list[str]:
    """What opens a store; the server listens on this machine alone."""
    return [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri, "--host", HOST, "--port", str(port),
    ]


def show(root: str | None, port: int) -> int:
    """Serve the pages until Ctrl-C; the exit code of MLflow.

    Raises:
        UserError: the sweeps' MLflow is a server of its own, or nothing was written yet.
    """
    base = sweeps.root(root)
    store, note = stores.chosen(base, "")
    if urlsplit(store.uri).scheme in REMOTE or store.uri in REMOTE:
        raise UserError("MLflow's pages are on its server", store.uri, "open that address in a browser")
    path = store.uri.removeprefix("sqlite:///")
    if store.uri.startswith("sqlite:///") and not Place.of(path).exists():
        raise UserError("there must be a store", f"no {path}", "run `invsearch compare` first, or give its --root")
    if note is not None:
        print(note, file=sys.stderr)
    print(f"MLflow on {store.uri}: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    return subprocess.call(command(store, port))

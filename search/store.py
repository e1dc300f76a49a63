"""Which MLflow store a sweep writes to: what was asked for, else a database near the sweep, always on a local disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tracking.mlflow_log import Store, default_store
from tracking.mounts import on_network
from tracking.storage import Place

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DATA_VARIABLE = "XDG_DATA_HOME"


def chosen(base: Place, experiment: str, began_with: str | None = None) -> tuple[Store, str | None]:
    """The store, and what a person should know about where it is.

    Args:
        base: of the sweeps.
        began_with: the tracking URI of the sweep's first driver; it is kept where it means the same here.
    """
    if os.environ.get(TRACKING_VARIABLE):
        return default_store(base.local or Path(), experiment), None
    folder = local_folder(base)
    store = default_store(folder, experiment)
    if began_with is not None and (folder == base.local or not began_with.startswith("sqlite:")):
        moved = began_with.startswith("sqlite:") and began_with != store.uri
        note = f"MLflow's runs go on where this sweep began, {began_with}; another place: {TRACKING_VARIABLE}"
        return default_store(folder, experiment, began_with), note if moved else None
    if folder == base.local:
        return store, None
    return store, (
        f"MLflow's runs are kept in {folder}, because a database must not be on a network; it is made again from the "
        f"journal by any driver. One server for all machines: {TRACKING_VARIABLE}"
    )


def local_folder(base: Place) -> Path:
    """The base itself where it is on a local disk, else the user's data folder, else a temporary one."""
    if base.local is not None and not on_network(base.local):
        return base.local
    home = Path(os.environ.get(DATA_VARIABLE) or "~/.local/share").expanduser().resolve() / "invsearch"
    if not on_network(home):
        return home
    return Path(tempfile.gettempdir()).resolve() / f"invsearch-{os.getuid()}"

"""`invsearch doctor`: is this machine or cluster ready, and if not, why?

What may be broken is imported only inside of the checks: a torch that does not load is a finding, not a traceback.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from search.finding import Finding, guarded
from tracking.storage import Place

PACKAGES = ("ray", "torch", "torchvision", "optuna", "mlflow", "numpy", "scikit-learn", "pydantic")
ROOTS = ("search", "trainables", "spaces", "tracking")
RAY_SECONDS = 60.0


def examine(root: str | None, address: str | None) -> int:
    """Run every check, print one line each; 0 where all are good, else 1."""
    table = Table(box=None, pad_edge=False)
    for column in ("check", "", "detail"):
        table.add_column(column)
    findings = list(_findings(root, address))
    for finding in findings:
        table.add_row(finding.what, "ok" if finding.good else "FAILED", finding.detail)
    Console().print(table)
    return 0 if all(finding.good for finding in findings) else 1


def _findings(root: str | None, address: str | None) -> Iterator[Finding]:
    for package in PACKAGES:
        yield guarded(package, lambda package=package: version(package))  # type: ignore[misc]
    yield guarded("torch and torchvision import", _torch)
    yield guarded("names resolve here (driver)", names_resolve_here)
    yield guarded("storage", lambda: _usable(_base(root)))
    yield guarded("data cache", lambda: _writable(_cache()))
    yield guarded("MLflow", lambda: _mlflow(_base(root)))
    yield guarded("GPU", _gpu)
    yield from _ray(root, address)


def names_resolve(own: str) -> str:
    """Where the four packages come from.

    Raises:
        RuntimeError: another distribution shadows one of them.
    """
    for name in ROOTS:
        found = Path(getattr(importlib.import_module(name), "__file__", None) or "").parent.parent
        if str(found) != own:
            raise RuntimeError(f"`{name}` comes from {found}, not from {own}: another package of that name shadows it")
    return own


def names_resolve_here() -> str:
    """As above, against the folder that this very module comes from: a node may have its own place for it."""
    return names_resolve(own_root())


def own_root() -> str:
    return str(Path(__file__).resolve().parent.parent)


def _base(root: str | None) -> Place:
    from search import sweep

    return sweep.root(root)


def _usable(base: Place) -> str:
    base.check()
    return str(base)


def _cache() -> Path:
    from search import sweep

    return sweep.cache_folder()


def _torch() -> str:
    import torch
    import torchvision

    return f"torch {torch.__version__}, torchvision {torchvision.__version__}"


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    return str(folder)


def _mlflow(base: Place) -> str:
    from search import store as stores
    from tracking.read import reachable

    store, _ = stores.chosen(base, "doctor")
    reachable(store)
    return store.uri


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none; trials run on the CPU"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _ray(root: str | None, address: str | None) -> Iterator[Finding]:
    """Ray starts or answers; then what its nodes say."""
    box: list[Finding] = []
    answered = threading.Event()

    def start() -> None:
        box.append(guarded("Ray", lambda: _start_ray(address)))
        answered.set()
        threading.Event().wait()  # Ray's processes are killed with the thread that started them

    threading.Thread(target=start, daemon=True).start()
    if not answered.wait(RAY_SECONDS):
        yield Finding("Ray", False, f"no answer within {RAY_SECONDS:.0f} s; is the address right?")
        return
    yield box[0]
    if box[0].good:
        from search import doctor_cluster

        yield from doctor_cluster.examine(_base(root), names_resolve_here)


def _start_ray(address: str | None) -> str:
    import ray

    from search import cluster

    cluster.start(cluster.Connection(address=address))
    total = ray.cluster_resources()
    return f"{len(ray.nodes())} node(s), {total.get('CPU', 0):g} CPU, {total.get('GPU', 0):g} GPU"

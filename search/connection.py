"""To which Ray cluster a driver connects, and what it brings along."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tracking.errors import UserError

AUTO = "auto"  # the cluster that this machine is a node of
ROOTS = ("search", "trainables", "spaces", "tracking")


class Connection(BaseModel):
    """Which Ray cluster, and what its workers get from the driver.

    Args:
        address: of a running cluster, such as "10.0.0.1:6379" or "auto"; None takes RAY_ADDRESS where that is set
            (as it is in a job of `ray job submit`), else starts Ray here, to end with this process.
        cpus: slots of a local cluster; None takes the machine's cores.
        dashboard: Ray's dashboard for a local cluster, on loopback.
        working_dir: a source tree whose four packages are shipped to the workers.
        wheel: the same as a built wheel. Neither is needed where all nodes have the package installed.
        env_vars: environment of the workers. Anybody who can read the cluster's state can read them.
        wait_seconds: for nodes that an autoscaler has yet to start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = None
    cpus: int | None = None
    dashboard: bool = False
    working_dir: Path | None = None
    wheel: Path | None = None
    env_vars: dict[str, str] = {}
    wait_seconds: float = 0.0

    def check(self) -> None:
        """Raises UserError where the code cannot be shipped as asked."""
        if self.working_dir is not None and self.wheel is not None:
            raise UserError("code is shipped once", "both --working-dir and --wheel")
        if self.working_dir is not None:
            missing = [name for name in ROOTS if not (self.working_dir / name / "__init__.py").is_file()]
            if missing:
                raise UserError(f"--working-dir must be a source tree with {', '.join(ROOTS)}",
                                f"{self.working_dir} without {', '.join(missing)}")
        if self.wheel is not None and not (self.wheel.is_file() and zipfile.is_zipfile(self.wheel)):
            raise UserError("--wheel must be a wheel of invsearch", self.wheel, "`pip wheel --no-deps .` makes one")

    @property
    def ships(self) -> bool:
        """Whether the workers run the driver's code and not their node's."""
        return self.working_dir is not None or self.wheel is not None

    @contextmanager
    def shipped(self) -> Iterator[dict[str, Any]]:
        """Ray's runtime environment; to be used within the body, in which Ray uploads it."""
        environment: dict[str, Any] = {"env_vars": dict(self.env_vars)} if self.env_vars else {}
        if not self.ships:
            yield environment
            return
        with tempfile.TemporaryDirectory(prefix="invsearch-ship-") as folder:
            if self.wheel is not None:
                # Unpacked here: Ray would let pip install it on every node, with torch and all else that it requires.
                with zipfile.ZipFile(self.wheel) as archive:
                    archive.extractall(folder)
            else:
                _copy_packages(self.working_dir or Path(), Path(folder))
            yield environment | {"working_dir": folder}


def _copy_packages(tree: Path, folder: Path) -> None:
    """The four packages alone: data and sweeps in the tree stay where they are."""
    for name in ROOTS:
        shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))

"""Starting Ray quietly, and checking that it can run what is asked before anything starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict, Field
from ray import tune

from search.study import Resources
from tracking.errors import UserError
from tracking.storage import Place

# Each of these was measured to matter; the defaults are for notebooks, not for a command line.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: quiet
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal and MLflow hold what these files would
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the journal is the state; Ray's snapshot is never read
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning in workers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that was given no GPU sees none
}


class Connection(BaseModel):
    """To which Ray cluster, and what its workers get.

    Args:
        address: of a running cluster; None starts one here that ends with this process.
        cpus: slots of a local cluster; None takes the machine's cores.
        dashboard: whether a local cluster serves Ray's dashboard, on loopback.
        runtime_env: code and environment variables for the workers, as Ray takes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = None
    cpus: int | None = Field(default=None, ge=1)
    dashboard: bool = False
    runtime_env: dict[str, Any] = {}


def start(connection: Connection) -> None:
    """Connect to a cluster, or start Ray on this machine alone."""
    address = connection.address
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is None:
        ray.init(address="local", num_cpus=connection.cpus, include_dashboard=connection.dashboard, **quiet)
    else:
        try:
            ray.init(address=address, runtime_env=connection.runtime_env or None, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                "--address must be that of a running Ray cluster", f"{address}: {str(error).splitlines()[0]}",
                "for example 10.0.0.1:6379; see `ray status` on the head node",
            ) from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what fails is told by us, once
    ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None  # so are deaths of workers


def fitting(resources: Resources) -> int:
    """How many trials fit now; none where the nodes that had room have left."""
    asked = resources.custom | {"CPU": resources.cpus, "GPU": resources.gpus}
    asked = {name: amount for name, amount in asked.items() if amount > 0}
    nodes: list[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    # Per node: two nodes of one CPU hold no trial of two.
    return sum(int(min(node.get(name, 0.0) / amount for name, amount in asked.items())) for node in nodes)


def placement(resources: Resources) -> tune.PlacementGroupFactory:
    """What Ray reserves for one trial, and where."""
    bundle = resources.custom | {"CPU": resources.cpus, "GPU": resources.gpus}
    return tune.PlacementGroupFactory(
        [{name: amount for name, amount in bundle.items() if amount > 0}], strategy=resources.placement.upper()
    )


def check_storage(place: Place) -> None:
    """Raises UserError where the storage cannot be written, or not be seen from every node."""
    place.parent.check()


def slots(resources: Resources) -> int:
    """How many trials fit at once.

    Raises:
        UserError: not even one fits; Ray would wait for ever without a word.
    """
    nodes: list[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = fitting(resources)
    if fits < 1:
        has = "; ".join(f"{node.get('CPU', 0.0):g} CPU and {node.get('GPU', 0.0):g} GPU" for node in nodes)
        raise UserError(
            "one node must have what one trial asks for",
            f"a trial asks for {resources.cpus:g} CPU and {resources.gpus:g} GPU; the nodes have {has}",
            "ask for less with --set resources.cpus=... or resources.gpus=..., or connect to another --address",
        )
    return fits

"""Starting Ray quietly, and checking that it can run what is asked before anything starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

import ray

from search.study import Resources
from tracking.errors import UserError

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


def start(address: str | None, cpus: int | None) -> None:
    """Connect to a cluster, or start Ray on this machine alone.

    Args:
        address: of a running cluster; None starts one here that ends with this process.
        cpus: slots of a local cluster; None takes the machine's cores.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is None:
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    else:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                "--address must be that of a running Ray cluster", f"{address}: {str(error).splitlines()[0]}",
                "for example 10.0.0.1:6379; see `ray status` on the head node",
            ) from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what fails is told by us, once


def slots(resources: Resources) -> int:
    """How many trials fit at once.

    Raises:
        UserError: not even one fits; Ray would wait for ever without a word.
    """
    asked = {name: amount for name, amount in (("CPU", resources.cpus), ("GPU", resources.gpus)) if amount > 0}
    nodes: list[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    # Per node: two nodes of one CPU hold no trial of two.
    fits = sum(int(min(node.get(name, 0.0) / amount for name, amount in asked.items())) for node in nodes)
    if fits < 1:
        has = "; ".join(f"{node.get('CPU', 0.0):g} CPU and {node.get('GPU', 0.0):g} GPU" for node in nodes)
        raise UserError(
            "one node must have what one trial asks for",
            f"a trial asks for {resources.cpus:g} CPU and {resources.gpus:g} GPU; the nodes have {has}",
            "ask for less with --set resources.cpus=... or resources.gpus=..., or connect to another --address",
        )
    return fits

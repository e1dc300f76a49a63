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
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
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
        ray.init(address=address, **quiet)
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what fails is told by us, once


def slots(resources: Resources) -> int:
    """How many trials fit at once.

    Raises:
        UserError: not even one fits; Ray would wait for ever without a word.
    """
    total: Mapping[str, float] = ray.cluster_resources()
    asked = {"CPU": resources.cpus, "GPU": resources.gpus}
    fits = [total.get(name, 0.0) / amount for name, amount in asked.items() if amount > 0]
    if int(min(fits)) < 1:
        has = ", ".join(f"{total.get(name, 0.0):g} {name}" for name in asked)
        raise UserError(
            "the cluster must have what one trial asks for",
            f"a trial asks for {resources.cpus:g} CPU and {resources.gpus:g} GPU; the cluster has {has}",
            "ask for less with --set resources.cpus=... or resources.gpus=..., or connect to another --address",
        )
    return int(min(fits))

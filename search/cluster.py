"""Starting Ray quietly or connecting to it, and what its nodes have room for."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services

from search.access import show_token
from search.connection import AUTO, Connection
from search.placement import placement
from search.settings import Resources
from search.signals import plain
from search.words import first_line
from tracking.errors import StartError, UserError

__all__ = ["Connection", "Room", "dashboard", "fitting", "placement", "reach", "slots", "start"]

ADDRESS_VARIABLE = "RAY_ADDRESS"  # Ray's own; `ray job submit` sets it for the driver
ANSWER_SECONDS = 5.0              # for a first word from the head
GRACE_SECONDS = 10.0              # a sweep without a node to run on waits this long for one to come back
LOOK_SECONDS = 1.0

# Each of these was measured to matter; the defaults are for notebooks, not for a command line.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: quiet
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal and MLflow hold what these files would
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the journal is the state; Ray's snapshot is never read
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning in workers
}
_WORKERS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # a trial that was given no GPU sees none


def start(connection: Connection) -> None:
    """Connect to a cluster, or start Ray on this machine alone; a session that is open already is used.

    A token is Ray's own business (RAY_AUTH_MODE, RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH); one that is there
    is shown to a cluster that asks for it.

    Raises:
        UserError: nobody answers at the address, or the code cannot be shipped.
        StartError: Ray does not start on this machine.
    """
    reach(connection)
    for name, value in (_ENVIRONMENT | _WORKERS).items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        return
    address = _address(connection)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    with connection.shipped() as shipment:
        if address is None:
            with _on_loopback():
                _init(
                    address="local", num_cpus=connection.cpus, include_dashboard=connection.dashboard,
                    dashboard_host="127.0.0.1", runtime_env=shipment or None, **quiet,
                )
        else:
            show_token(_located(address))
            variables = _WORKERS | shipment.pop("env_vars", {})
            _init(address=address, runtime_env={"env_vars": variables, **shipment}, **quiet)
    plain()
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what fails is told by us, once
    ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None  # deaths of workers too; no setting does it
    if connection.ships:
        _check_shipped(connection)


def reach(connection: Connection) -> None:
    """Return if the code can be shipped and somebody answers at the address; cheap, so to be asked before other work.

    Raises:
        UserError: not so; told in seconds.
    """
    connection.check()
    address = _address(connection)
    if address is not None and not ray.is_initialized():
        _reach(address, connection)


def slots(resources: Resources, wait_seconds: float = 0.0) -> int:
    """How many trials fit at once.

    Args:
        wait_seconds: for nodes that do not exist yet; an autoscaler starts them for what is asked.

    Raises:
        UserError: not even one fits; Ray would wait for ever without a word.
    """
    if fitting(resources) < 1 and wait_seconds > 0:
        _wait(resources, wait_seconds)
    fits = fitting(resources)
    if fits < 1:
        raise _infeasible(resources)
    return fits


def fitting(resources: Resources) -> int:
    """How many trials fit at once on the nodes that are alive now, 0 where none does; takes a few milliseconds.

    Per node: two nodes of one CPU hold no trial of two.
    """
    return sum(_per_node(node, resources) for node in _nodes())


class Room:
    """`fitting`, to be asked again and again while a sweep runs: nodes leave and join.

    Args:
        patience_seconds: how long none may fit before that is told.
    """

    def __init__(
        self, resources: Resources, patience_seconds: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic, count: Callable[[Resources], int] = fitting,
    ) -> None:
        self._resources, self._patience, self._clock, self._count = resources, patience_seconds, clock, count
        self._gone: float | None = None  # since when nothing fits

    def __call__(self) -> int:
        """
        Raises:
            StartError: nothing fits any more, and has not for longer than the patience: the nodes that did have left.
        """
        fits = self._count(self._resources)
        if fits > 0:
            self._gone = None
            return fits
        now = self._clock()
        self._gone = now if self._gone is None else self._gone
        if now - self._gone > self._patience:
            told = _infeasible(self._resources)
            raise StartError(told.rule, told.got, "nodes have left; `invsearch resume` goes on when there is one again")
        return 0


def dashboard() -> str | None:
    """Where Ray's dashboard is, if there is one."""
    url = ray._private.worker.get_dashboard_url() if ray.is_initialized() else None
    return f"http://{url}" if url else None


def described(nodes: Iterable[Mapping[str, Any]]) -> str:
    """What nodes have, in words; equal ones counted."""
    counts: dict[str, int] = {}
    for node in nodes:
        has = ", ".join(f"{amount:g} {name}" for name, amount in sorted(_countable(node).items())) or "nothing"
        counts[has] = counts.get(has, 0) + 1
    return "; ".join(f"{number} x ({has})" for has, number in counts.items()) or "no node is alive"


def _address(connection: Connection) -> str | None:
    """Of a cluster; None where Ray is to be started here."""
    return connection.address or os.environ.get(ADDRESS_VARIABLE)


def _nodes() -> list[Mapping[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _per_node(node: Mapping[str, Any], resources: Resources) -> int:
    has = node["Resources"]
    return min(int(has.get(name, 0.0) / amount + 1e-9) for name, amount in resources.asked().items())


def _countable(node: Mapping[str, Any]) -> dict[str, float]:
    """Without what Ray adds to every node: its address, memory, and markers of accelerators."""
    own = ("node:", "memory", "object_store_memory", "accelerator_type:")
    return {"CPU": 0.0} | {name: value for name, value in node["Resources"].items() if not name.startswith(own)}


def _infeasible(resources: Resources) -> UserError:
    asked = ", ".join(f"{amount:g} {name}" for name, amount in resources.asked().items())
    return UserError(
        "one node must have what one trial asks for",
        f"a trial asks for {asked}; the nodes have {described(_nodes())}",
        "ask for less with --set resources.cpus=..., resources.gpus=... or resources.custom=..., connect to another "
        "--address, or give an autoscaling cluster time with --wait-for-resources",
    )


def _wait(resources: Resources, seconds: float) -> None:
    """Ask for one trial's place, which an autoscaler hears, until a node has room for it."""
    group = ray.util.placement_group([resources.asked()])
    deadline = time.monotonic() + seconds
    try:
        while fitting(resources) < 1 and time.monotonic() < deadline:
            group.wait(LOOK_SECONDS)
    finally:
        ray.util.remove_placement_group(group)


def _reach(address: str, connection: Connection) -> None:
    """Told at once what Ray would find out after a minute."""
    if connection.cpus is not None:
        raise UserError("--cpus is for a run on this machine alone", f"--cpus {connection.cpus} with {address}",
                        "say what one trial occupies with --set resources.cpus=...")
    if "://" in address:
        raise _unreachable(address, "a URL is for `ray job submit`, or for Ray Client, which runs no sweeps")
    host, _, port = address.rpartition(":")
    if address == AUTO or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error) from None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a local Ray listen on 127.0.0.1 alone, as it does on other systems than Linux.

    Ray has a variable for that, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0, but reads it when it is imported. Where Ray's
    internals differ, it listens as it likes.
    """
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    if before is None:
        yield
        return
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _located(address: str) -> str:
    """Host and port; what Ray cannot make sense of stays as it is, for it to say so."""
    try:
        return services.canonicalize_bootstrap_address(address) or address
    except (ValueError, ConnectionError):
        return address


def _init(**options: Any) -> None:
    try:
        ray.init(**options)
    except Exception as error:  # Ray has no error of its own for this; a start that takes too long is a bare Exception
        if options["address"] == "local":
            raise _not_started(error) from None
        raise _unreachable(str(options["address"]), error) from None


def _not_started(error: Exception) -> StartError:
    logs = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "session_latest" / "logs"
    return StartError(
        "Ray must start on this machine", _said(error),
        "nothing of the sweep was started, so the same command may be given again; a machine that is busy, or short of "
        f"memory or disk, takes too long: fewer --cpus need less. Ray's own logs, where it came so far: {logs}",
    )


def _unreachable(address: str, error: object) -> UserError:
    return UserError(
        "--address must be that of a running Ray cluster that this machine is a node of",
        f"{address}: {_said(error)}",
        "for example 10.0.0.1:6379 or auto; from outside use `ray job submit`; a cluster with tokens wants "
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
    )


def _said(error: object) -> str:
    return first_line(str(error)) or type(error).__name__


def _check_shipped(connection: Connection) -> None:
    """A worker imports all four packages from what was shipped, and not from what its node has installed."""
    from search.doctor import RAY_SECONDS, names_resolve_here, own_root

    what = connection.working_dir or connection.wheel
    try:
        where = str(ray.get(ray.remote(num_cpus=0)(names_resolve_here).remote(), timeout=RAY_SECONDS))
    except Exception as error:  # the environment could not be made, or the packages do not load
        said = str(error).strip().splitlines()
        raise UserError("shipped code must load in a worker", f"{what}: {said[-1] if said else type(error).__name__}",
                        "`invsearch doctor` tells what the nodes have installed") from None
    if "runtime_resources" not in where:  # where Ray unpacks what a driver brings
        raise UserError(
            "workers must use the shipped code", f"they import it from {where} (the driver from {own_root()})",
            "uninstall invsearch from the nodes, or do not ship it",
        )

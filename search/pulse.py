"""Listens to Ray's control service (GCS): where it is gone, Ray ends this process itself, and says nothing of use.

It does so after a minute, from C++, with exit code 1: no handler of ours runs. So what to do is said before that.
Nothing is stopped here, since a service that is started again within the minute is as good as before. But where
somebody asked for an end, and sent it to Ray's processes too (`timeout`, a service manager, a cluster's job control),
there is nothing to stop in order any more, and nothing to wait for.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import ray

PERIOD_SECONDS = 2.0
GONE_SECONDS = 12.0  # longer than an orderly stop waits for slices, and than a service needs to be started again
LOOK_SECONDS = 0.1
STOPPING_SECONDS = 2.0  # who sent SIGTERM may have sent it to Ray's processes too
SILENT_SECONDS = 20.0  # of RAY_gcs_rpc_server_reconnect_timeout_s, 60 by default
_known: tuple[str, str] | None = None  # where Ray's service was when it was listened to; this node, of that session


@contextmanager
def listening(
    say: Callable[[str], None], again: str, period: float = PERIOD_SECONDS, silent: float = SILENT_SECONDS,
    locate: Callable[[], str | None] | None = None, asked: Callable[[], int | None] = lambda: None,
    leave: Callable[[int], None] = os._exit, gone: float = GONE_SECONDS, note: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """While the body runs, say once per outage that the service does not answer, and how to go on.

    Args:
        say: takes one line; called from another thread.
        again: the command that goes on with the sweep.
        period: between two looks, in seconds.
        silent: how long the service may be away unsaid, in seconds.
        locate: host:port of the service, None before there is one; Ray's own unless a test names another.
        asked: the signal that asked this process to stop, None so far.
        leave: ends the process at once, with an exit code.
        gone: how long the service must be away, once a stop was asked for, until there is nothing to wait for.
        note: writes down that the sweep was interrupted, before it leaves: nobody else will.
    """
    stop = threading.Event()
    arguments = say, again, period, silent, locate or _gcs, asked, leave, gone, note, stop
    thread = threading.Thread(target=_listen, args=arguments, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(2 * period)


def lost(patience: float = 0.0) -> bool:
    """Whether Ray's service was there and is gone: Ray's own end would wait for it, for a minute, in vain.

    Args:
        patience: how long a service that may just be stopping is given to be gone, in seconds.
    """
    until = time.monotonic() + patience
    while _known is not None and ray.is_initialized() and _known[1] == ray.get_runtime_context().get_node_id():
        if not _answers(_known[0], PERIOD_SECONDS):
            return True
        if time.monotonic() >= until:
            break
        time.sleep(LOOK_SECONDS)
    return False


def leave_where_lost(code: str | int | None) -> None:
    """End the process at once where the service is gone; back where it is there.

    Args:
        code: of `SystemExit`.
    """
    number = code if isinstance(code, int) else int(code is not None)
    if lost(STOPPING_SECONDS if number == 128 + signal.SIGTERM else 0.0):
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(number)


def _listen(
    say: Callable[[str], None], again: str, period: float, silent: float, locate: Callable[[], str | None],
    asked: Callable[[], int | None], leave: Callable[[int], None], gone: float, note: Callable[[], None],
    stop: threading.Event,
) -> None:
    address, heard, said, silent_since = None, time.monotonic(), False, 0.0
    while not stop.wait(period):
        address = address or locate()  # asked for while it answers: later Ray would not come back from the question
        if address is None or _answers(address, period):
            heard, said, silent_since = time.monotonic(), False, 0.0
        elif (number := asked()) is not None:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since >= gone:
                _left(say, again, number, leave, note)
        elif not said and time.monotonic() - heard >= silent:
            said = True
            with suppress(OSError, SystemExit):  # nobody reads any more: rich ends the thread for a broken pipe
                say(f"Ray's control service at {address} does not answer. Unless it comes back Ray ends this process "
                    f"soon; what was journaled counts, go on with: {again}")


def _left(
    say: Callable[[str], None], again: str, number: int, leave: Callable[[int], None], note: Callable[[], None]
) -> None:
    """Out, whether somebody still reads what is said or not, and whether it can be written down or not."""
    try:
        say(f"interrupted, and Ray's control service is gone: trials are kept as of their last reports; go on with: "
            f"{again}")
        sys.stdout.flush()
    except (OSError, SystemExit):
        pass
    try:
        with suppress(OSError):  # of a storage that fails
            note()
    finally:
        leave(128 + number)


def _gcs() -> str | None:
    global _known
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    _known = str(context.gcs_address), context.get_node_id()
    return _known[0]


def _answers(address: str, patience: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=patience):
            return True
    except OSError:
        return False

"""Ends a process whose work hangs; nothing in the process can be trusted to do so by then."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process if the body takes longer, with its stack in the worker's log.

    A timer of the interpreter's own in C: it also fires where a hanging extension never lets Python run again.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=_log_file())
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _log_file() -> IO[str]:
    """Standard error as the process got it: what replaces it may have no file descriptor."""
    return sys.__stderr__ if sys.__stderr__ is not None else sys.stderr

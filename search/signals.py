"""Ctrl-C and SIGTERM: the first stops the sweep in order, the second at once; where no sweep runs, the first does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SECOND = b"\nstopped at once; what was journaled counts, and `invsearch resume` goes on from there\n"

Note = Callable[[signal.Signals], object]


class Interrupted(SystemExit):
    """A signal came while nothing was there to stop in order; left alone it ends the process, with 128 + its number."""


class Signals:
    """What came, and whether somebody looks at it.

    Args:
        caught: the first signal, None so far.
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self.note: Note | None = None
        self._watched = False

    @contextmanager
    def watched(self, note: Note | None = None) -> Iterator[None]:
        """In the body somebody asks for `caught` again and again; elsewhere a signal raises Interrupted.

        Args:
            note: writes down that the body was interrupted, for who has to end the process in its middle.
        """
        self._watched, self.note = True, note
        try:
            if self.caught is not None:
                raise Interrupted(128 + self.caught)
            yield
        finally:
            self._watched, self.note = False, None

    def take(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self.caught is not None:
            os.write(2, SECOND)
            os._exit(128 + number)  # nothing may run: an orderly end is what was not wanted. Ray's processes follow
        self.caught = signal.Signals(number)
        if not self._watched:
            raise Interrupted(128 + number)


_latest = Signals()


def asked() -> signal.Signals | None:
    """The signal by which this process was asked to stop, from whatever thread; None so far."""
    return _latest.caught


def noted() -> None:
    """Write down that what runs now was interrupted, from whatever thread; nothing where nothing runs, or none came."""
    latest = _latest
    if latest.caught is not None and latest.note is not None:
        latest.note(latest.caught)


def plain() -> None:
    """From here on SIGTERM raises Interrupted: in the time before `handled`, and after it.

    To be called once Ray has started. Its own handlers print a stack, and end the process with code 15.
    """
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Interrupted(128 + number)


@contextmanager
def handled() -> Iterator[Signals]:
    """Handle SIGINT and SIGTERM in the body.

    To be entered after Ray has started: it installs a handler for SIGTERM that prints a stack and aborts. Only the
    main thread has signals; in another one nothing is handled.
    """
    global _latest
    signals = _latest = Signals()
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {number: signal.signal(number, signals.take) for number in numbers}
    except ValueError:  # not the main thread
        yield signals
        return
    try:
        yield signals
    finally:
        _latest = Signals()
        for number, handler in before.items():
            signal.signal(number, handler)

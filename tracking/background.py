"""Hands items to a slow, unreliable writer on a thread of its own; the caller neither waits nor fails."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

BATCH = 2000             # items per call of the writer
LINGER_SECONDS = 2.0     # a batch waits this long for company: a short trial becomes one call instead of three
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 30.0
ERRORS_KEPT = 20
WORD_SECONDS = 2.0  # whoever closes is told after this long that it takes a while
LOOK_SECONDS = 0.1


class Background(Generic[T]):
    """Keeps what is put until the writer has taken it, in order, in batches, however often that fails.

    Args:
        write: takes a batch and returns how many of its items it refuses for good; raises to be asked
            again with the same items and perhaps more, so it must be idempotent.
        finish: called once after the last batch.
        tell: called on the writer's thread after every attempt, with how many items wait, and what went wrong or None.
    """

    def __init__(
        self, write: Callable[[Sequence[T]], int], finish: Callable[[], None],
        tell: Callable[[int, str | None], None] = lambda left, error: None,
    ) -> None:
        self.errors: list[str] = []
        self._write, self._finish, self._tell = write, finish, tell
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = self._abandoned = False
        self._refused = self._failures = 0
        self._thread: threading.Thread | None = None

    def put(self, item: T) -> None:
        """Returns at once; the first item starts the thread."""
        with self._changed:
            self._items.append(item)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="background-writer", daemon=True)
                self._thread.start()

    def close(
        self, timeout: float, patience: float | None = None, waiting: Callable[[int], None] = lambda left: None
    ) -> int:
        """Write what is left within `timeout` seconds; the number of items that were not written.

        Args:
            patience: seconds after which to give up if the latest write failed; None waits for the timeout.
            waiting: told how much is left, once, where it takes a while.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._await(self._thread, timeout, timeout if patience is None else patience, waiting)
        with self._changed:
            self._abandoned = True
            self._changed.notify()
            return len(self._items) + self._refused

    def _await(
        self, thread: threading.Thread, timeout: float, patience: float, waiting: Callable[[int], None]
    ) -> None:
        began, told = time.monotonic(), False
        while thread.is_alive() and (waited := time.monotonic() - began) < timeout:
            if waited >= patience and self._failures:
                return
            if waited >= WORD_SECONDS and not told:
                waiting(len(self._items))
                told = True
            thread.join(LOOK_SECONDS)

    def note(self, error: object) -> None:
        """Remember a message once."""
        said = message(error)
        if said not in self.errors and len(self.errors) < ERRORS_KEPT:
            self.errors.append(said)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while batch := self._next():
            try:
                refused = self._write(batch)
            except Exception as error:  # whatever a store raises, the sweep goes on
                self._failures += 1
                self.note(error)
                self._told(message(error))
                self._wait(pause)
                pause = min(2 * pause, LAST_PAUSE_SECONDS)
                continue
            pause, self._failures = FIRST_PAUSE_SECONDS, 0
            with self._changed:
                self._refused += refused
                for _ in batch:
                    self._items.popleft()
            self._told(None)
        if not self._abandoned:
            try:
                self._finish()
            except Exception as error:
                self.note(error)

    def _told(self, error: str | None) -> None:
        if not self._abandoned:  # then whoever closed knows what is left
            self._tell(len(self._items), error)

    def _next(self) -> list[T]:
        """The next batch, still in the queue until it is written; empty when there is nothing more to do."""
        with self._changed:
            while not self._items and not self._closing:
                self._changed.wait()
            self._changed.wait_for(lambda: self._closing or len(self._items) >= BATCH, LINGER_SECONDS)
            return [] if self._abandoned else list(islice(self._items, BATCH))

    def _wait(self, seconds: float) -> None:
        """Pause after a failure; shorter pauses once somebody waits for the end."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._abandoned and (left := until - time.monotonic()) > 0:
                if self._closing:
                    left = min(left, until - seconds + FIRST_PAUSE_SECONDS - time.monotonic())
                    if left <= 0:
                        return
                self._changed.wait(left)


def message(error: object) -> str:
    """What an error says, or at least what it is."""
    return str(error) or type(error).__name__

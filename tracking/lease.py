"""One driver per sweep: a small file that its owner renews, on every kind of storage.

`driver.json` names the owner, an epoch that grows with each takeover, a random token and a counter that a thread
raises every few seconds. It is free when it is not there, when its owner is known to be dead, or when the counter
did not move for `STALE_SECONDS`, watched with this machine's own clock, so that clocks which disagree do not matter.

What remains: pyarrow has no compare-and-swap, so between reading the file and replacing it another process may
replace it too. Therefore a claim is read again after `SETTLE_SECONDS`, and of two claims the higher (epoch, token)
wins wherever they meet: in this file, whose loser sees it at its next renewal and stops, and among the segments of
a journal in an object store, whose names carry the same pair: readers ignore a segment of a lower claim that begins
at or after the first event of a higher one (segments.py). What a loser wrote in those seconds is not read, so its
work is done again; a journal never holds two histories. A driver that was suspended reads the file before it appends.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tracking.errors import StorageError, UserError
from tracking.owner import Alive, Owner, parsed
from tracking.storage import Place

FILE = "driver.json"
BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
LOOK_SECONDS = 1.0     # between two looks at somebody else's lease
SETTLE_SECONDS = 1.0   # after a claim, where no file lock keeps others out
TRUST_SECONDS = 15.0   # after the last successful renewal, an append looks first
Rank = tuple[int, str]  # epoch and token: of two claims, the higher one wins


class Lease:
    """Held from construction to `close`.

    Args:
        floor: the highest epoch that is known from elsewhere; this one will be higher.
        locked: the caller has a lock that no other living process of this machine can have.
        watch, sleep: the clock that counts while others are watched; tests bring their own.
        beat: renew by a thread; else only `renew` does.

    Raises:
        UserError: another driver is alive.
        StorageError: the place cannot be reached.
    """

    def __init__(
        self, place: Place, floor: int = 0, locked: bool = False, *, watch: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep, beat: bool = True,
    ) -> None:
        self._place, self._me, self._token = place, Owner.me(), secrets.token_hex(4)
        self._watch, self._sleep = watch, sleep
        self._since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        self._beats, self._renewed = 0, _awake()
        self._lost_to: str | None = None
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._epoch = self._claim(floor, locked)
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        if beat:
            self._thread.start()

    @property
    def rank(self) -> Rank:
        """What decides between two that claim to be the driver."""
        return self._epoch, self._token

    @property
    def lost(self) -> bool:
        """Whether another driver took over."""
        return self._lost_to is not None

    def confirm(self) -> None:
        """Return if this process is still the driver; looks at the file only after a pause in the renewals.

        Raises:
            StorageError: it is not, or that could not be found out.
        """
        if _awake() - self._renewed > TRUST_SECONDS:
            with self._guard:
                self._look()
        if self._lost_to is not None:
            raise StorageError(
                "a sweep has one driver at a time", f"{self._place} was taken over by {self._lost_to}",
                "this driver was silent for too long; the other one goes on with the sweep",
            )

    def renew(self) -> None:
        """One beat.

        Raises:
            StorageError: the storage could not be reached; nothing is decided by that.
        """
        with self._guard:
            self._look()
            if not self.lost and not self._stop.is_set():
                self._write()

    def close(self) -> None:
        """Release it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._guard, suppress(OSError):  # what cannot be deleted grows stale
            found = _read(self._place)
            if found is not None and _rank(found) == self.rank:
                self._place.delete(FILE)

    def _look(self) -> None:
        """Find out whether somebody took over; a lost lease stays lost."""
        found = _read(self._place)
        if self.lost:
            return
        if found is None and not self._place.names():
            raise StorageError("a sweep's storage must stay usable", f"{self._place} is not there")
        if found is None:  # released, so somebody else had it in the meantime
            self._lost_to = "another driver, which has ended"
        elif _rank(found) > self.rank:
            self._lost_to = _told(found)

    def _claim(self, floor: int, locked: bool) -> int:
        while True:
            found = _read(self._place)
            if found is not None and not self._free(found, locked):
                self._await(found)
            self._epoch = max(floor, *(_rank(f)[0] for f in (found, _read(self._place)) if f is not None), 0) + 1
            self._write()
            if locked:
                return self._epoch
            self._sleep(SETTLE_SECONDS)
            found = _read(self._place)
            if found is not None and _rank(found) == self.rank:
                return self._epoch

    def _free(self, found: dict[str, Any], locked: bool) -> bool:
        """Whether the owner is known to be dead.

        Raises:
            UserError: it is known to be alive.
        """
        owner = parsed(found.get("owner"))
        if owner is None:
            return False
        alive = owner.alive(self._me)
        if alive is Alive.YES and not locked:
            raise taken(self._place, found)
        return alive is not Alive.UNKNOWN

    def _await(self, found: dict[str, Any]) -> None:
        """Return once the counter stood still for long enough; only time that was watched counts."""
        still, last = 0.0, self._watch()
        while still < STALE_SECONDS:
            self._sleep(LOOK_SECONDS)
            now = self._watch()
            still, last = still + min(now - last, 2 * LOOK_SECONDS), now
            seen = _read(self._place)
            if seen is None:
                return
            if _pulse(seen) != _pulse(found):
                raise taken(self._place, seen)

    def _write(self) -> None:
        self._beats += 1
        content = {
            "owner": self._me.model_dump(), "token": self._token, "epoch": self._epoch, "beat": self._beats,
            "since": self._since,
        }
        self._place.write(FILE, json.dumps(content).encode())
        self._renewed = _awake()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with suppress(OSError):  # a hiccup of the storage is told by whoever has something to write
                self.renew()


def holder(place: Place) -> str | None:
    """Who drives the sweep, as far as can be told without waiting; None where nobody does."""
    found = _read(place)
    if found is None:
        return None
    owner = parsed(found.get("owner"))
    alive = Alive.UNKNOWN if owner is None else owner.alive(Owner.me())
    if alive is Alive.UNKNOWN:  # elsewhere: by the age of the last beat, give or take how much the clocks differ
        beaten = place.modified(FILE)
        alive = Alive.YES if beaten is not None and abs(time.time() - beaten) < 2 * STALE_SECONDS else Alive.NO
    return _told(found) if alive is Alive.YES else None


def _awake() -> float:
    """Seconds, also those that the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _read(place: Place) -> dict[str, Any] | None:
    """The lease; an empty one where its text is damaged, which is then watched like any other."""
    try:
        found = json.loads(place.read(FILE))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _rank(found: dict[str, Any]) -> Rank:
    epoch = found.get("epoch")
    return (epoch if isinstance(epoch, int) else 0), str(found.get("token", ""))


def _pulse(found: dict[str, Any]) -> tuple[Rank, object]:
    return _rank(found), found.get("beat")


def _told(found: dict[str, Any]) -> str:
    return f"{parsed(found.get('owner')) or 'an unknown process'}, since {found.get('since', 'an unknown time')}"


def taken(place: Place, found: dict[str, Any] | None = None) -> UserError:
    """The refusal that names the other driver.

    Args:
        found: its lease; read where it is not given.
    """
    if found is None:
        with suppress(OSError):
            found = _read(place)
    return UserError(
        "a sweep has one driver at a time", f"{place} is driven by {_told(found or {})}",
        "wait for the other driver, or stop it, then resume",
    )

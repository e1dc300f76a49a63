"""One driver per sweep: refused while the other lives, taken over when it is dead, never two at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.support.object_store import both
from tracking import lease as leases
from tracking.errors import StorageError, UserError
from tracking.journal import Journal, read
from tracking.lease import FILE, Lease, holder
from tracking.owner import Alive, Owner
from tracking.storage import Place

HERE = Owner.me()
ELSEWHERE = HERE.model_copy(update={"host": "elsewhere"})
DEAD = HERE.model_copy(update={"pid": 2**22 + 1})


class Clock:
    """Time passes only while somebody waits; then `during` happens."""

    def __init__(self, during: Callable[[float], None] = lambda _: None) -> None:
        self.now, self._during = 0.0, during

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._during(self.now)


def hold(place: Place, owner: Owner = HERE, clock: Clock | None = None, floor: int = 0, locked: bool = False) -> Lease:
    """A lease of that owner, without a thread."""
    time = clock or Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Owner, "me", classmethod(lambda cls: owner))
        return Lease(place, floor, locked, watch=time, sleep=time.sleep, beat=False)


def test_held_and_released(place: Place) -> None:
    assert holder(place) is None
    lease = hold(place)
    assert str(os.getpid()) in str(holder(place)) and not lease.lost
    lease.renew()
    lease.confirm()
    lease.close()
    assert holder(place) is None and not place.exists(FILE)
    assert hold(place, floor=7).rank[0] == 8, "the epoch grows, whatever it is known from"


def test_a_living_driver_of_this_machine_is_told_at_once(place: Place) -> None:
    hold(place)
    clock = Clock()
    with pytest.raises(UserError, match=f"process {os.getpid()} on {HERE.host}, since 20"):
        hold(place, clock=clock)
    assert clock.now == 0


def test_a_dead_one_of_this_machine_is_taken_over_at_once(place: Place) -> None:
    hold(place, DEAD)
    assert holder(place) is None
    clock = Clock()
    assert hold(place, clock=clock).rank[0] == 2
    assert clock.now <= leases.SETTLE_SECONDS


def test_one_that_moves_elsewhere_is_refused_within_seconds(place: Place) -> None:
    other = hold(place, ELSEWHERE)
    clock = Clock(lambda now: other.renew() if now % leases.BEAT_SECONDS == 0 else None)
    with pytest.raises(UserError, match="on elsewhere"):
        hold(place, clock=clock)
    assert clock.now <= 2 * leases.BEAT_SECONDS


@both
def test_one_that_stands_still_elsewhere_is_taken_over(place: Place) -> None:
    other, clock = hold(place, ELSEWHERE), Clock()
    lease = hold(place, clock=clock)
    assert leases.STALE_SECONDS <= clock.now <= leases.STALE_SECONDS + 5
    assert lease.rank[0] == 2
    other.renew()
    assert other.lost and not lease.lost
    with pytest.raises(StorageError, match=f"taken over by process {os.getpid()}"):
        other.confirm()
    other.close()
    lease.renew()
    lease.confirm()  # what the loser did changed nothing


def test_time_that_nobody_watched_does_not_count(place: Place) -> None:
    """A watcher that was suspended for an hour saw one pause, not an hour of silence."""
    other = hold(place, ELSEWHERE)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        clock.now += 3600
        if len(looks) == 4:
            other.renew()

    clock = Clock()
    clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(UserError, match="on elsewhere"):
        hold(place, clock=clock)


def test_a_released_one_is_not_waited_for(place: Place) -> None:
    other = hold(place, ELSEWHERE)
    clock = Clock(lambda now: other.close() if now == 3 else None)
    assert hold(place, clock=clock).rank[0] == 2
    assert clock.now < 10


def test_two_that_take_over_at_once(place: Place) -> None:
    """The one whose claim is overwritten while it settles does not begin."""
    hold(place, DEAD)
    second: list[Lease] = []

    def meanwhile(now: float) -> None:
        if not second:
            place.delete(FILE)  # as if both had read the dead one's
            second.append(hold(place, HERE, floor=5))

    with pytest.raises(UserError, match="one driver"):
        hold(place, clock=Clock(meanwhile))
    assert not second[0].lost


@pytest.mark.parametrize("mine_is_higher", [True, False])
def test_of_two_claims_the_higher_one_wins(place: Place, mine_is_higher: bool) -> None:
    """Both believed to hold it, and either may have written last."""
    lease = hold(place, floor=5)
    theirs = json.loads(place.read(FILE)) | {"epoch": 5 if mine_is_higher else 6, "token": "ffffffff"}
    place.write(FILE, json.dumps(theirs).encode())
    lease.renew()
    assert lease.lost != mine_is_higher
    assert (json.loads(place.read(FILE))["token"] == "ffffffff") != mine_is_higher


def test_a_hiccup_decides_nothing_and_a_missing_lease_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("journal.jsonl", b"")
    lease = hold(place)

    def gone(*_: object) -> bytes:
        raise StorageError("a", "b")

    with monkeypatch.context() as patch:
        patch.setattr(Place, "read", gone)
        with pytest.raises(StorageError):
            lease.renew()
    lease.renew()
    assert not lease.lost
    place.delete(FILE)
    lease.renew()
    assert lease.lost, "somebody took over, and has ended"
    with pytest.raises(StorageError, match="has ended"):
        lease.confirm()


def test_a_driver_that_was_suspended_looks_before_it_writes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    awake = [0.0]
    monkeypatch.setattr(leases, "_awake", lambda: awake[0])
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1e6)
    monkeypatch.setattr(leases, "SETTLE_SECONDS", 0.0)
    with Journal(place) as journal:
        journal.append("mine")
        other = json.loads(place.read(FILE)) | {"epoch": 99}
        place.write(FILE, json.dumps(other).encode())
        awake[0] = 3600.0
        with pytest.raises(StorageError, match="one driver"):
            journal.append("too late")
        assert journal.lease.lost
        with pytest.raises(StorageError, match="one driver"):
            journal.append("still too late")
    assert [event["kind"] for event in read(place)] == ["mine"]
    assert json.loads(place.read(FILE))["epoch"] == 99, "what is not one's own is not released"


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"owner": 5, "epoch": "x"}'])
def test_a_damaged_lease_is_watched_and_then_taken_over(place: Place, text: bytes) -> None:
    place.write(FILE, text)
    clock = Clock()
    assert hold(place, clock=clock).rank[0] == 1
    assert clock.now >= leases.STALE_SECONDS


def test_who_is_alive_as_far_as_one_can_tell() -> None:
    def seen(**changed: object) -> Alive:
        return HERE.model_copy(update=changed).alive(HERE)

    me = HERE.model_copy(update={"machine": "m", "boot": "b"})
    assert seen() is Alive.YES
    assert seen(pid=DEAD.pid) is Alive.NO
    assert seen(started=HERE.started + 1) is Alive.NO, "its number is used by another process now"
    assert seen(namespace="pid:[1]") is Alive.UNKNOWN, "another container"
    assert seen(host="elsewhere") is Alive.UNKNOWN
    assert me.model_copy(update={"boot": "earlier"}).alive(me) is Alive.NO
    assert me.model_copy(update={"boot": "earlier", "machine": "twin"}).alive(me) is Alive.UNKNOWN
    nameless = me.model_copy(update={"machine": ""})
    assert nameless.model_copy(update={"boot": "earlier"}).alive(nameless) is Alive.UNKNOWN

"""A control service that goes away is told of in time, once per outage, with the command that goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from search import launch, pulse
from search.driver import ExitCode, Outcome
from search.pulse import listening
from search.sweep import Sweep
from tracking.storage import Place

PERIOD, SILENT = 0.02, 0.2


class Service:
    """Something that listens on a port, until it does not."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()

    def again(self) -> None:
        host, port = self.address.split(":")
        self._socket = socket.create_server((host, int(port)), backlog=1000)


@pytest.fixture
def service() -> Service:
    return Service()


def until(true: Callable[[], bool]) -> bool:
    """Whether it comes true within 10 s."""
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(PERIOD)
    return true()


def test_each_outage_is_said_once(service: Service) -> None:
    said: list[str] = []
    with listening(said.append, "invsearch resume mine", PERIOD, SILENT, lambda: service.address):
        time.sleep(2 * SILENT)
        assert not said  # it answers
        service.close()
        assert until(lambda: len(said) == 1)
        assert service.address in said[0] and said[0].endswith("go on with: invsearch resume mine")
        time.sleep(2 * SILENT)
        assert len(said) == 1
        service.again()
        time.sleep(2 * SILENT)
        service.close()
        assert until(lambda: len(said) == 2)


def test_a_short_outage_is_not_worth_a_word(service: Service) -> None:
    said: list[str] = []
    with listening(said.append, "again", PERIOD, 20.0, lambda: service.address):
        service.close()
        time.sleep(SILENT)
        service.again()
    assert not said
    service.close()


def test_the_service_is_asked_for_once(service: Service) -> None:
    """A second question would wait for an answer that does not come."""
    asked: list[None] = []

    def locate() -> str:
        asked.append(None)
        return service.address

    with listening([].append, "again", PERIOD, SILENT, locate):
        time.sleep(SILENT)
    assert len(asked) == 1
    service.close()


def test_it_is_rays_own_service_once_there_is_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_known", None)
    context = SimpleNamespace(gcs_address="10.0.0.1:6379", get_node_id=lambda: "node")
    monkeypatch.setattr(pulse.ray, "get_runtime_context", lambda: context)
    for running, expected in ((False, None), (True, "10.0.0.1:6379")):
        monkeypatch.setattr(pulse.ray, "is_initialized", lambda running=running: running)
        assert pulse._gcs() == expected


def test_a_sweep_listens_and_says_the_command_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brackets of a path are no markup."""
    root = tmp_path / "[old]"

    @contextmanager
    def gone(say: Callable[[str], None], again: str, **_: object) -> Iterator[None]:
        say(f"go on with: {again}")
        yield

    def run(*_: object, again: bool = False) -> Outcome:
        return Outcome(Sweep(Place.of(root / "mine")), ExitCode.INTERRUPTED)

    monkeypatch.setattr(launch, "listening", gone)
    monkeypatch.setattr(launch.runner, "compare", run)
    code = launch.compare("smoke", "mine", [], [], launch.Options(root=str(root)))
    printed = capsys.readouterr().out.replace("\n", "")
    assert code == ExitCode.INTERRUPTED
    assert printed.count("[old]/mine") == 2, printed  # by the listener, and at the end


def test_before_there_is_a_service_nothing_is_missed() -> None:
    said: list[str] = []
    with listening(said.append, "again", PERIOD, 0.0, lambda: None):
        time.sleep(SILENT)
    assert not said


def test_nothing_listens_after_the_sweep(service: Service) -> None:
    said: list[str] = []
    with listening(said.append, "again", PERIOD, SILENT, lambda: service.address):
        pass
    service.close()
    time.sleep(2 * SILENT)
    assert not said


@pytest.mark.parametrize("number", [None, 15])
def test_who_was_asked_to_stop_does_not_wait_for_a_service_that_stopped_too(
    service: Service, number: int | None
) -> None:
    """It leaves with 128 + the number and the command that goes on. Unasked it waits, as it does while it answers."""
    said, left = list[str](), list[int]()
    with listening(said.append, "again", PERIOD, 60.0, lambda: service.address, lambda: number, left.append, SILENT):
        time.sleep(SILENT)
        assert not left
        service.close()
        assert until(lambda: bool(left)) if number else not (time.sleep(5 * SILENT) or left)
    assert set(left) == ({143} if number else set())
    assert bool(said) == bool(number) and all(line.endswith("go on with: again") for line in said)


@pytest.mark.parametrize("error", [BrokenPipeError, SystemExit])
def test_it_leaves_although_nobody_reads_what_it_says(service: Service, error: type[BaseException]) -> None:
    """`invsearch ... | tee` under a signal to all: rich ends the thread that writes to a broken pipe."""
    left = list[int]()

    def say(line: str) -> None:
        raise error

    service.close()
    with listening(say, "again", PERIOD, SILENT / 2, lambda: service.address, lambda: 15, left.append, 2 * SILENT):
        assert until(lambda: bool(left))
    assert left[0] == 143


@pytest.mark.parametrize("errors", [(None, None), (BrokenPipeError, None), (None, OSError)])
def test_that_it_was_interrupted_is_written_down_before_it_leaves(
    service: Service, errors: tuple[type[Exception] | None, type[Exception] | None]
) -> None:
    """Said first, since a journal may not be to be written; and what cannot be said or written keeps nobody."""
    happened = list[str]()

    def step(name: str, error: type[Exception] | None = None) -> None:
        happened.append(name)
        if error is not None:
            raise error

    service.close()
    with listening(
        lambda line: step("say", errors[0]), "again", PERIOD, 60.0, lambda: service.address, lambda: 15,
        lambda number: step("leave"), SILENT, note=lambda: step("note", errors[1]),
    ):
        assert until(lambda: "leave" in happened)
    assert happened[:3] == ["say", "note", "leave"]


def test_a_service_that_comes_back_in_time_is_stopped_in_order(service: Service) -> None:
    left = list[int]()
    with listening([].append, "again", PERIOD, 60.0, lambda: service.address, lambda: 15, left.append, 5 * SILENT):
        service.close()
        time.sleep(2 * SILENT)
        service.again()
        time.sleep(5 * SILENT)
    service.close()
    assert not left

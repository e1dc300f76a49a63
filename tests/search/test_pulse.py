"""A control service that goes away is told of in time, once per outage, with the command that goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from search.pulse import listening

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

"""The first signal waits for an orderly stop, the second does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from search.signals import Interrupted, asked, handled, noted


def test_where_somebody_looks_the_signal_is_only_noted() -> None:
    with handled() as signals, signals.watched():
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.caught is signal.SIGTERM


def test_where_nobody_looks_it_is_raised_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), handled():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_from_before_is_not_forgotten() -> None:
    with handled() as signals:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted), signals.watched():
            pytest.fail("the body must not run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_ends_the_process_at_once(number: signal.Signals) -> None:
    """Without running anything that could wait: not even `finally`."""
    body = (
        "import os, sys\nfrom search.signals import handled\n"
        "with handled() as signals, signals.watched():\n    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n        print('noted', flush=True)\n"
        f"        os.kill(os.getpid(), {int(number)})\n        print('still there')\n"
        "    finally:\n        print('finally')\n"
    )
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert done.stdout == "noted\n"
    assert "invsearch resume" in done.stderr


def test_outside_of_the_main_thread_nothing_is_handled() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def body() -> None:
        with handled() as signals, signals.watched():
            seen.append((signals.caught, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_only_what_runs_and_was_interrupted_is_noted() -> None:
    """From another thread too: the one that has the signals may be held up where no handler's words are heard."""
    seen = list[signal.Signals]()
    noted()
    with handled() as signals:
        with signals.watched(seen.append):
            noted()
            assert not seen
            os.kill(os.getpid(), signal.SIGTERM)
            thread = threading.Thread(target=noted)
            thread.start()
            thread.join()
            assert seen == [signal.SIGTERM]
        noted()
    noted()
    assert seen == [signal.SIGTERM]


def test_what_was_asked_is_known_until_the_stop_is_over() -> None:
    assert asked() is None
    with handled() as signals, signals.watched():
        assert asked() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert asked() is signal.SIGINT
    assert asked() is None

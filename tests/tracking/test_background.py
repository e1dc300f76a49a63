"""The thread that writes: order over failures, closing, patience."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tracking.background import Background

SECONDS = 60.0


class TestBackground:
    def test_it_keeps_the_order_over_failures(self) -> None:
        taken: list[int] = []
        attempts = iter([True, False, True, False])

        def write(items: Any) -> int:
            if next(attempts, False):
                raise OSError("busy")
            taken.extend(items)
            return 0

        worker: Background[int] = Background(write, lambda: None)
        for item in range(100):
            worker.put(item)
        assert worker.close(SECONDS) == 0
        assert taken == list(range(100))
        assert worker.errors == ["busy"]

    def test_a_writer_that_hangs_does_not_hold_the_caller(self) -> None:
        def hang(items: Any) -> int:
            time.sleep(30)
            return 0

        worker: Background[int] = Background(hang, lambda: None)
        worker.put(1)
        began = time.monotonic()
        assert worker.close(0.2) == 1
        assert time.monotonic() - began < 1.0

    def test_a_writer_that_fails_is_not_waited_for_longer_than_the_patience(self) -> None:
        def refuse(items: Any) -> int:
            raise OSError("down")

        worker: Background[int] = Background(refuse, lambda: None)
        worker.put(1)
        began = time.monotonic()
        assert worker.close(SECONDS, patience=0.3) == 1
        assert time.monotonic() - began < 5.0

    def test_a_writer_that_is_only_slow_gets_its_time_and_a_word(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The control of the test above: patience is for stores that fail."""
        monkeypatch.setattr("tracking.background.WORD_SECONDS", 0.1)
        monkeypatch.setattr("tracking.background.BATCH", 1)
        told: list[int] = []
        let = threading.Event()

        def write(items: Any) -> int:
            let.wait(SECONDS)
            return 0

        def tell(left: int) -> None:
            told.append(left)
            let.set()

        worker: Background[int] = Background(write, lambda: None)
        worker.put(1)
        worker.put(2)
        assert worker.close(SECONDS, patience=0.01, waiting=tell) == 0
        assert told == [2]

    def test_an_error_of_the_last_word_is_noted(self) -> None:
        def finish() -> None:
            raise RuntimeError("no")

        worker: Background[int] = Background(lambda items: 0, finish)
        worker.put(1)
        assert worker.close(SECONDS) == 0
        assert worker.errors == ["no"]

    def test_closing_an_unused_one_is_free(self) -> None:
        assert Background[int](lambda items: 0, lambda: None).close(SECONDS) == 0

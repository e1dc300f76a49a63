"""Signals where no sweep runs: before the first trial, while the report is made, while MLflow takes the rest."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from search import launch, pulse
from search.driver import ExitCode, Outcome
from search.signals import Interrupted, handled, plain
from search.sweep import Sweep
from tracking.mlflow_log import MlflowLog
from tracking.storage import Place

SMALL = ["slices=4", "horizon=8", "budget=2.5", "confirm_seeds=2"]


def test_outside_of_a_sweep_sigterm_unwinds_and_ends_with_143() -> None:
    body = (
        "import os\nfrom search.signals import plain\nplain()\n"
        "try:\n    os.kill(os.getpid(), 15)\nfinally:\n    print('finally', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.TERMINATED, "finally\n", "")


def test_a_sweep_takes_the_signals_over_and_gives_them_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        plain()
        with handled() as signals, signals.watched():
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.caught is signal.SIGTERM
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("began", [True, False])
@pytest.mark.parametrize("ended", [KeyboardInterrupt, Interrupted])
def test_what_to_do_is_said_where_there_is_something_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    ended: type[BaseException], began: bool,
) -> None:
    waited: list[float] = []

    def run(*_: object, again: bool = False) -> Outcome:
        if began:
            (tmp_path / "mine").mkdir()
            (tmp_path / "mine" / "comparison.json").write_text("{}")
            (tmp_path / "mine" / "journal.jsonl").write_text("")
        raise ended(143)

    def close(log: MlflowLog, seconds: float, *_: object) -> int:
        waited.append(seconds)
        return 0

    monkeypatch.setattr(launch.runner, "compare", run)
    monkeypatch.setattr(launch.MlflowLog, "close", close)
    with pytest.raises(ended):
        launch.compare("smoke", "mine", [], [], launch.Options(root=str(tmp_path)))
    said = capsys.readouterr().out.replace("\n", "")
    assert ("invsearch resume" in said) is began, said
    assert waited == [0.0]


def test_who_leaves_while_mlflow_takes_the_rest_is_told_what_it_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[float] = []

    def close(log: MlflowLog, seconds: float, *_: object) -> int:
        asked.append(seconds)
        if seconds > 0:
            raise Interrupted(143)
        return 7

    def run(*_: object, again: bool = False) -> Outcome:
        return Outcome(Sweep(Place.of(tmp_path / "mine")), ExitCode.BUDGET)

    monkeypatch.setattr(launch.runner, "compare", run)
    monkeypatch.setattr(launch.MlflowLog, "close", close)
    with pytest.raises(Interrupted):
        launch.compare("smoke", "mine", [], [], launch.Options(root=str(tmp_path)))
    assert asked == [launch.DRAIN_SECONDS, 0.0]
    assert "has not taken 7 events" in capsys.readouterr().err


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize(("code", "number"), [(143, 143), (1, 1), (0, 0), (None, 0), ("said", 1)])
def test_without_a_service_the_process_does_not_wait_for_rays_end(
    monkeypatch: pytest.MonkeyPatch, code: int | str | None, number: int, gone: bool
) -> None:
    service = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(pulse, "_known", (f"127.0.0.1:{service.getsockname()[1]}", "node"))
    monkeypatch.setattr(pulse.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node"))
    monkeypatch.setattr(pulse, "STOPPING_SECONDS", 0.2)
    monkeypatch.setattr(pulse.ray, "is_initialized", lambda: True)
    left: list[int] = []
    monkeypatch.setattr(pulse.os, "_exit", left.append)
    if gone:
        service.close()
    pulse.leave_where_lost(code)
    assert left == ([number] if gone else [])
    service.close()


@pytest.mark.parametrize(
    ("known", "running", "node"),
    [(None, True, "node"), (("127.0.0.1:1", "node"), False, "node"), (("127.0.0.1:1", "node"), True, "of another")],
)
def test_there_is_nothing_to_lose(
    monkeypatch: pytest.MonkeyPatch, known: tuple[str, str] | None, running: bool, node: str
) -> None:
    monkeypatch.setattr(pulse, "_known", known)
    monkeypatch.setattr(pulse.ray, "is_initialized", lambda: running)
    monkeypatch.setattr(pulse.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: node))
    assert not pulse.lost(60.0)


@pytest.mark.slow
def test_sigterm_to_the_whole_group_while_the_report_is_made(tmp_path: Path) -> None:
    """As `timeout` and service managers send it: Ray's processes have it too. Nothing waits for them."""
    sets = [word for field in SMALL for word in ("--set", field)]
    words = ["compare", "smoke", "--name", "cut", "--root", str(tmp_path), "--cpus", "2", *sets]
    process = subprocess.Popen(
        [sys.executable, "-m", "search.cli", *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    journal, deadline = tmp_path / "cut" / "journal.jsonl", time.monotonic() + 240
    while not (journal.exists() and '"kind":"sweep_done"' in journal.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    output = process.communicate(timeout=30)[0]  # Ray would take 60 s
    assert process.returncode == ExitCode.TERMINATED, output
    assert "Traceback" not in output and "GCS" not in output
    assert f"invsearch resume {tmp_path}/cut" in output.replace("\n", "")

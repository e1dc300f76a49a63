"""The Slurm script for real, on raylets of this machine; only Slurm itself is played by three small programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.sweep import Sweep
from tests.support.ports import free_port
from tracking.storage import Place

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "slurm.sbatch"
SRUN = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do case "$1" in -w) shift 2;; -*) shift;; *) break;; esac; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then printf 'one\\ntwo\\n'; else echo "$@" >> "$REQUEUED"; fi
"""
HOSTNAME = "#!/usr/bin/env bash\necho 127.0.0.1\n"


@pytest.fixture
def short() -> Iterator[Path]:
    """Ray's sockets need short paths."""
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        yield Path(folder)


def job(tmp_path: Path, short: Path, number: int) -> tuple[subprocess.Popen[str], Path]:
    """One start of the job, as `sbatch` makes it; and where a requeue is noted."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    for name, body in {"srun": SRUN, "scontrol": SCONTROL, "hostname": HOSTNAME}.items():
        (programs / name).write_text(body)
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "INVSEARCH_BIN": str(Path(sys.executable).parent),
        "INVSEARCH_ROOT": str(tmp_path / "sweeps"), "SLURM_JOB_ID": str(number), "SLURM_JOB_NODELIST": "one,two",
        "SLURM_CPUS_PER_TASK": "1", "RAY_TEMP": str(short / str(number)), "RAY_PORT": str(free_port()),
        "REQUEUED": str(tmp_path / "requeued"),
    }
    environment.pop("RAY_ADDRESS", None)
    started = subprocess.Popen(
        ["bash", SCRIPT, "smoke", "mine"], env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )
    return started, tmp_path / "requeued"


def kinds(sweep: Sweep) -> list[str]:
    return [event["kind"] for event in sweep.loaded().events] if sweep.exists() else []


@pytest.mark.slow
def test_a_job_at_its_time_limit_is_requeued_and_goes_on(tmp_path: Path, short: Path) -> None:
    sweep = Sweep(Place.of(tmp_path / "sweeps" / "mine"))
    first, requeued = job(tmp_path, short, 1)
    try:
        while kinds(sweep).count("result") < 8:
            assert first.poll() is None, first.communicate()[0]
            time.sleep(0.2)
        first.send_signal(signal.SIGTERM)  # to the batch script alone, as `--signal=B:` asks
        said = first.communicate(timeout=120)[0]
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
    assert first.returncode == 143, said
    assert requeued.read_text() == "requeue 1\n"
    assert kinds(sweep)[-1] == "interrupted"
    second, _ = job(tmp_path, short, 2)
    try:
        said = second.communicate(timeout=240)[0]
    finally:
        if second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
    assert second.returncode == 0, said
    assert kinds(sweep)[-1] == "sweep_done"
    assert requeued.read_text() == "requeue 1\n"

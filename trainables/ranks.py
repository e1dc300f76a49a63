"""The processes beside the first one that make an artefact together, on one machine: `python -m trainables.ranks`.

The first process is the trial itself. It says `load` and `step`, and every other does what it does, on its share of the
groups; so all hold the same weights, and what the first one keeps is the state of all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from tracking.cost import Meter, Phase, PhaseCost
from tracking.errors import UserError
from trainables.assignment import Making, read_job
from trainables.harness import resolve_device
from trainables.maker import Maker
from trainables.method import State
from trainables.team import Member, Team

Build = Callable[[Making, Meter, torch.device, Team], Maker]
BEGIN_SECONDS, POLL_SECONDS = 300.0, 0.05  # for imports and data; between looks at who is there
LOAD, STEP, END = "load", "step", "end"


class LostRankError(RuntimeError):
    """Another process of the team ended before its work did."""


class Ranks:
    """Starts the other processes, and has them do what this one does.

    Args:
        making: what is made; its protocol says by how many processes.
        device: of this one; a GPU stands for as many as there are processes.

    Raises:
        UserError: there are fewer GPUs than processes.
        LostRankError: one ended before it could begin.
    """

    def __init__(self, making: Making, device: torch.device) -> None:
        size = making.protocol.making_workers
        if device.type == "cuda" and torch.cuda.device_count() < size:
            raise UserError(
                "every process of a making needs a GPU of its own",
                f"{size} processes, {torch.cuda.device_count()} GPUs", "set resources.gpus to `making_workers`",
            )
        folder = Path(tempfile.mkdtemp(prefix="invsearch-ranks-"))
        self._others = [_started(making, folder, rank, size) for rank in range(1, size)]
        self._end = weakref.finalize(self, _ended, self._others, folder)
        self._wait_for_all(folder)
        self.team = Member(folder / "meeting", 0, size, device, making.protocol.hang_seconds)

    def load(self, state: State) -> None:
        """Every other process goes on from this state."""
        self.team.say((LOAD, state))

    @contextmanager
    def step(self) -> Iterator[list[PhaseCost]]:
        """While all others make the same step; the list then has what it has cost each of them.

        Raises:
            LostRankError: one of them ended.
        """
        costs: list[PhaseCost] = []
        try:
            self.team.say((STEP, None))
            yield costs
            costs += [PhaseCost(**cost) for cost in self.team.gather(None)[1:]]
        except RuntimeError as error:
            raise self._lost() or error from error

    def close(self) -> None:
        """The others end; to be called once the work is done or has failed."""
        if self._end.alive:
            if all(other.poll() is None for other in self._others):
                self.team.say((END, None))
            self.team.leave()
            self._end()

    def _wait_for_all(self, folder: Path) -> None:
        until = time.monotonic() + BEGIN_SECONDS
        while len(list(folder.glob("ready-*"))) < len(self._others):
            if (lost := self._lost()) is not None or time.monotonic() > until:
                self._end()
                raise lost or LostRankError(f"not all processes were ready within {BEGIN_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def _lost(self) -> LostRankError | None:
        time.sleep(POLL_SECONDS)  # whoever closed its connection is about to end
        gone = {rank: code for rank, other in enumerate(self._others, 1) if (code := other.poll()) is not None}
        if not gone:
            return None
        told = ", ".join(f"rank {rank} ended with {code}" for rank, code in gone.items())
        return LostRankError(f"{told}; why is in this worker's log")


def _started(making: Making, folder: Path, rank: int, size: int) -> subprocess.Popen[bytes]:
    """The job goes in by standard input; threads are shared out."""
    threads = max(1, torch.get_num_threads() // size)
    names = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    other = subprocess.Popen(
        [sys.executable, "-m", "trainables.ranks", str(folder), str(rank)], stdin=subprocess.PIPE,
        env={**os.environ, **names},
    )
    assert other.stdin is not None
    with suppress(BrokenPipeError), other.stdin as given:  # who has ended already is noticed below
        given.write(making.model_dump_json().encode())
    return other


def _ended(others: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    for other in others:
        try:
            other.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()
    shutil.rmtree(folder, ignore_errors=True)


def follow(making: Making, folder: Path, rank: int, build: Build) -> None:
    """What the process of one rank does until it hears the end."""
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    protocol, device = making.protocol, resolve_device(making.protocol.device)
    if device.type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    meter = Meter(device)
    (folder / f"ready-{rank}").touch()
    team = Member(folder / "meeting", rank, protocol.making_workers, device, protocol.hang_seconds)
    maker = build(making, meter, device, team)
    before = PhaseCost()
    while (heard := team.hear())[0] != END:
        order, state = heard
        if order == LOAD:
            maker.load_state_dict(state)
            continue
        clock = meter.start()
        maker.step()
        meter.stop(clock, Phase.PRETRAIN)
        now = meter.ledger().phases[Phase.PRETRAIN]
        team.gather(_seconds(now, before))
        before = now
    team.leave()


def _seconds(now: PhaseCost, before: PhaseCost) -> dict[str, Any]:
    """What the first process cannot know; FLOPs it can."""
    return {name: getattr(now, name) - getattr(before, name) for name in ("cpu_seconds", "device_seconds")}


def main() -> None:
    """One rank; whatever goes wrong ends it, and the others see that."""
    from trainables.making import built  # builds this team's first process, too

    job = read_job(sys.stdin.read())
    assert isinstance(job, Making)
    try:
        follow(job, Path(sys.argv[1]), int(sys.argv[2]), built)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # at once: the others wait for this process


if __name__ == "__main__":
    main()

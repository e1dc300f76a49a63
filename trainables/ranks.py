"""The processes beside the first one that make an artefact together, on one machine: `python -m trainables.ranks`.

The first process is the trial itself. It tells every other through a pipe to load a state or to make a step, and each
makes it on its share of the groups; so all hold the same weights, and what the first one keeps is the state of all.
Whoever finds the other end of his pipe closed ends, so none is left behind.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tracking.cost import Meter, Phase, PhaseCost
from tracking.errors import UserError
from trainables.assignment import Making, read_job
from trainables.harness import resolve_device
from trainables.maker import Maker
from trainables.method import State
from trainables.team import LostRankError, Member, Team
from trainables.time_limit import time_limit

Build = Callable[[Making, Meter, torch.device, Team], Maker]
BEGIN_SECONDS = 300.0  # for imports and data
LEAVE_SECONDS = 10.0   # to end in order
POLL_SECONDS = 0.5     # between looks at who is there
LOAD, STEP = "load", "step"
READY, DONE, FAILED = "ready", "done", "failed"


class Other:
    """Another rank's process, and this process's end of the pipe to it."""

    def __init__(self, making: Making, folder: Path, rank: int, threads: int) -> None:
        self.rank = rank
        self.pipe, theirs = Pipe()
        names = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainables.ranks", str(folder), str(rank), str(theirs.fileno())],
            env={**os.environ, **names}, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.tell(making.model_dump_json())

    def tell(self, order: Any) -> None:
        with suppress(OSError):  # who has ended is noticed when he does not answer
            self.pipe.send(order)

    def answer(self, wanted: str, seconds: float) -> Any:
        """What comes with the word that is waited for.

        Raises:
            LostRankError: the process ended without a word, or does not answer.
            RuntimeError: what it raised.
        """
        until = time.monotonic() + seconds
        while not self.pipe.poll(POLL_SECONDS):
            if time.monotonic() > until:
                raise LostRankError(f"rank {self.rank} does not answer")
        try:
            word, answer = self.pipe.recv()
        except (EOFError, OSError):
            raise LostRankError(f"rank {self.rank} ended with {self.process.wait()}; see this worker's log") from None
        if word == FAILED:
            raise RuntimeError(f"rank {self.rank} failed: {answer}")
        assert word == wanted
        return answer


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
        self._seconds = making.protocol.hang_seconds
        self.folder, self.others = Path(tempfile.mkdtemp(prefix="invsearch-ranks-")), list[Other]()
        threads = torch.get_num_threads()
        self._end = weakref.finalize(self, _ended, self.others, self.folder, threads)
        try:
            share = max(1, threads // size)
            torch.set_num_threads(share)
            for rank in range(1, size):  # one by one: if one cannot be started, those before it are known
                self.others.append(Other(making, self.folder, rank, share))
            for other in self.others:
                other.answer(READY, BEGIN_SECONDS)
            self.team = Member(self.folder / "meeting", 0, size, device, self._seconds)
        except BaseException:
            self.close(failed=True)
            raise

    def load(self, state: State, meter: State) -> None:
        """Every other process goes on from this state, and counts what was counted: then all bits are the same."""
        kept = io.BytesIO()
        torch.save((state, meter), kept)
        for other in self.others:
            other.tell((LOAD, kept.getvalue()))

    @contextmanager
    def step(self) -> Iterator[list[PhaseCost]]:
        """While all others make the same step; the list then has what it has cost each of them.

        Raises:
            LostRankError: one of them ended without a word.
            RuntimeError: one of them failed, and says why.
        """
        costs: list[PhaseCost] = []
        for other in self.others:
            other.tell((STEP, b""))
        try:
            yield costs
        except LostRankError:
            for other in self.others:  # one of them knows why
                other.answer(DONE, LEAVE_SECONDS)
            raise
        costs += [PhaseCost(**other.answer(DONE, self._seconds)) for other in self.others]

    def close(self, failed: bool = False) -> None:
        """The others end: in order once the work is done, at once where it has failed. Once is enough."""
        if self._end.alive and not failed:
            for other in self.others:
                other.pipe.close()
            for other in self.others:
                with suppress(subprocess.TimeoutExpired):
                    other.process.wait(LEAVE_SECONDS)
        self._end()


def _ended(others: list[Other], folder: Path, threads: int) -> None:
    """Whoever is still there is killed; this process is as it was."""
    for other in others:
        other.pipe.close()
        other.process.kill()
        other.process.wait()
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
    shutil.rmtree(folder, ignore_errors=True)
    torch.set_num_threads(threads)


def follow(making: Making, folder: Path, rank: int, pipe: Connection, build: Build) -> None:
    """What the process of one rank does until nobody tells it anything any more."""
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    protocol, device = making.protocol, resolve_device(making.protocol.device)
    if device.type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    pipe.send((READY, None))
    team = Member(folder / "meeting", rank, protocol.making_workers, device, protocol.hang_seconds)
    meter = Meter(device)
    maker, before = build(making, meter, device, team), PhaseCost()
    while True:
        try:
            order, kept = pipe.recv()
        except EOFError:
            break
        with time_limit(protocol.hang_seconds):  # the first process may be gone, and nobody else would end this one
            if order == LOAD:
                state, counted = torch.load(io.BytesIO(kept), map_location="cpu", weights_only=True)
                maker.load_state_dict(state)
                meter.load_state_dict(counted)
                before = meter.ledger().phases[Phase.PRETRAIN]
                continue
            clock = meter.start()
            maker.step()
            meter.stop(clock, Phase.PRETRAIN)
        now = meter.ledger().phases[Phase.PRETRAIN]
        pipe.send((DONE, _seconds(now, before)))
        before = now
    dist.destroy_process_group()


def _seconds(now: PhaseCost, before: PhaseCost) -> dict[str, float]:
    """What the first process cannot know; FLOPs it can."""
    return {name: getattr(now, name) - getattr(before, name) for name in ("cpu_seconds", "device_seconds")}


def main() -> None:
    """One rank; whatever goes wrong is said, and ends it."""
    from trainables.making import built  # that module starts these processes

    folder, rank, pipe = Path(sys.argv[1]), int(sys.argv[2]), Connection(int(sys.argv[3]))
    try:
        making = read_job(pipe.recv())
        assert isinstance(making, Making)
        follow(making, folder, rank, pipe, built)
    except BaseException as error:
        traceback.print_exc()
        if not isinstance(error, LostRankError):  # that one is another's fault
            with suppress(OSError):
                pipe.send((FAILED, f"{type(error).__name__}: {error}"))
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)  # at once: the others wait for this process


if __name__ == "__main__":
    main()

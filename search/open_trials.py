"""Trials that were asked and have not ended: what each has said, how often it failed, and which wait for a worker."""

from __future__ import annotations

from collections import Counter

from search.settings import Retries
from tracking.record import Cause
from trainables.assignment import Assigned, Report


class OpenTrials:
    """By uid, in the order in which they were asked.

    Args:
        retries: how often a failed one is started again, by the cause.
    """

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._jobs: dict[str, Assigned] = {}
        self._last: dict[str, Report] = {}
        self._restart: list[str] = []  # no worker has them: to be started before anything new
        self._failures: dict[str, Counter[Cause]] = {}  # since it last came further

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, uid: str) -> Assigned:
        return self._jobs[uid]

    def running(self, uid: str) -> bool:
        """Whether a worker may have it: neither ended nor waiting to be started again."""
        return uid in self._jobs and uid not in self._restart

    @property
    def waiting(self) -> bool:
        """Whether some wait for a worker."""
        return bool(self._restart)

    def add(self, job: Assigned) -> None:
        self._jobs[job.uid] = job

    def known(self, uid: str) -> int:
        """How many sound reports of a trial the journal holds."""
        last = self._last.get(uid)
        return 0 if last is None else last.index + 1

    def hear(self, report: Report) -> None:
        """A sound report: the trial came further."""
        self._last[report.uid] = report
        self._failures.pop(report.uid, None)

    def hear_last(self, report: Report) -> None:
        """What a failed trial has cost."""
        self._last[report.uid] = report

    def again(self) -> Assigned | None:
        """The next one that waits for a worker, with how much of it is known."""
        if not self._restart:
            return None
        uid = self._restart.pop(0)
        return self._jobs[uid].model_copy(update={"known": self.known(uid)})

    def attempt(self, uid: str, cause: Cause) -> int | None:
        """The number of the attempt that failed; None where no other one may follow.

        Trials that failed so often without having come further in between are given up.
        """
        failures = self._failures.setdefault(uid, Counter())
        return None if failures[cause] >= getattr(self._retries, cause) else failures[cause] + 1

    def failed(self, uid: str, cause: Cause) -> None:
        self._failures.setdefault(uid, Counter())[cause] += 1

    def restart(self, uid: str) -> None:
        """To be started again, from its last checkpoint."""
        self._restart.append(uid)

    def restart_all(self) -> None:
        """No worker has any of them."""
        self._restart = list(self._jobs)

    def close(self, uid: str) -> tuple[Assigned, Report | None]:
        """It has ended: what it was, and its last report."""
        self._failures.pop(uid, None)
        if uid in self._restart:
            self._restart.remove(uid)
        return self._jobs.pop(uid), self._last.pop(uid, None)

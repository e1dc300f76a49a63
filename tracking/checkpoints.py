"""The states that one trial keeps, by the number of reports that it had made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tracking.storage import Place

FILE = re.compile(r"(\d{6,})\.pt")


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Files `000012.pt` in a place of their own.

    Args:
        keep: how many stay; the newest may turn out damaged, or further than the journal.
    """

    place: Place
    keep: int = 2

    def write(self, index: int, data: bytes) -> None:
        """Keep a state; it is there in full or not at all, and only then do older ones go.

        Those after more reports go as well: they were not usable, or this state would come after them.

        Raises:
            OSError: it could not be written; what was there stays.
        """
        self.place.write(f"{index:06d}.pt", data)
        found = self._indices()
        kept = [number for number in found if number <= index][: self.keep]
        for number in found:
            if number not in kept:
                self.place.delete(f"{number:06d}.pt")

    def newest(self, limit: int) -> Iterator[tuple[int, bytes]]:
        """The states after at most `limit` reports, newest first."""
        for index in self._indices():
            if index <= limit:
                try:
                    yield index, self.place.read(f"{index:06d}.pt")
                except FileNotFoundError:
                    continue  # another process has just cleared it

    def clear(self) -> None:
        """Forget everything: the trial has ended."""
        self.place.delete()

    def _indices(self) -> list[int]:
        found = (FILE.fullmatch(name) for name in self.place.names())
        return sorted((int(match[1]) for match in found if match), reverse=True)

"""The errors that a user, not a developer, has to act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """The user's input broke a rule; the command line prints it without traceback and exits with 2.

    Args:
        rule: what must hold, as a sentence.
        got: what was given.
        hint: what to do next; may be empty.
    """

    def __init__(self, rule: str, got: object, hint: str = "") -> None:
        self.rule, self.got, self.hint = rule, str(got), hint
        super().__init__(rule, self.got, hint)  # all three, so that the error survives pickling

    def __str__(self) -> str:
        return _lines(self.rule, self.got, self.hint)


class StorageError(OSError):
    """The storage failed under a running sweep; printed like a UserError, exits with 1, and `resume` goes on.

    Args:
        rule: what must hold, as a sentence.
        got: which place, and what it said.
        hint: what to do next; may be empty.
    """

    def __init__(self, rule: str, got: object, hint: str = "") -> None:
        super().__init__(rule)  # with more arguments OSError would take them for a number, a text and a file
        self.rule, self.got, self.hint = rule, str(got), hint

    def __reduce__(self) -> tuple[type[StorageError], tuple[str, str, str]]:
        return type(self), (self.rule, self.got, self.hint)

    def __str__(self) -> str:
        return _lines(self.rule, self.got, self.hint)


class StartError(RuntimeError):
    """What a sweep runs on did not start, by no mistake of the user's; printed like a UserError, exits with 1.

    Args:
        rule: what must hold, as a sentence.
        got: what it said.
        hint: what to do next; may be empty.
    """

    def __init__(self, rule: str, got: object, hint: str = "") -> None:
        self.rule, self.got, self.hint = rule, str(got), hint
        super().__init__(rule, self.got, hint)  # as above

    def __str__(self) -> str:
        return _lines(self.rule, self.got, self.hint)


def _lines(rule: str, got: str, hint: str) -> str:
    return "\n".join([rule, f"  got:  {got}", *([f"  hint: {hint}"] if hint else [])])


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the valid names, the most similar one first."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    listed = f"known: {', '.join(names)}" if names else "none is known"
    return f"did you mean `{close[0]}`? {listed}" if close else listed

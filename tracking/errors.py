"""The one error that a user, not a developer, has to act on."""

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
        lines = [self.rule, f"  got:  {self.got}"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the valid names, the most similar one first."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    listed = f"known: {', '.join(names)}" if names else "none is known"
    return f"did you mean `{close[0]}`? {listed}" if close else listed

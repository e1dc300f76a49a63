"""Small phrases that the screen, the log and the tables share."""

from __future__ import annotations

from collections.abc import Sequence

GOT, HINT = "\n  got:  ", "\n  hint: "  # as the errors of `tracking.errors` put it
TRACE = "\nTraceback (most recent call last)"


def counted(count: int, one: str, many: str) -> str:
    """", 1 retry" or ", 2 retries"; nothing for none."""
    return f", {count} {one if count == 1 else many}" if count else ""


def first_line(reason: str) -> str:
    """Of what an exception said, without what would move a terminal's cursor or change its colours."""
    return _printable(next(iter(reason.strip().splitlines()), ""))


def on_one_line(reason: str) -> str:
    """The first line, and after it what a user's error was given and hints at; without the traceback that follows."""
    alone = reason.strip().partition(TRACE)[0]  # a traceback may hold another error's words, which this one wraps
    said, given, rest = alone.partition(GOT)
    if not given:
        return first_line(alone)
    got, hinted, rest = rest.partition(HINT)
    whole = [_printable(got if hinted else first_line(got)), *([f"hint: {first_line(rest)}"] if hinted else [])]
    return f"{_printable(said)} (got: {'; '.join(whole)})"


def _printable(text: str) -> str:
    return "".join(character for character in text.replace("\n", " ") if character.isprintable())


def duration(seconds: float) -> str:
    """"45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def listed(names: Sequence[str]) -> str:
    """"a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""How a benchmark's script ends where the user, or who reads its output, has ended it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tracking.errors import UserError


@contextmanager
def told() -> Iterator[None]:
    """A mistake of the user's ends with one message and exit code 2; a closed pipe ends without a word.

    As the other tools of a pipe do: with the code of who was ended by SIGPIPE.
    """
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # What is still buffered would be tried again at the very end, and be complained about there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)

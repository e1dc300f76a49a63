"""Whether a Ray cluster asks for a token, and showing it the one that is there.

`ray start` asks for a token as soon as it finds one (`~/.ray/auth_token`, which the first local run on an account
writes), while `ray.init(address=...)` shows none unless RAY_AUTH_MODE=token is set. A driver that shows a token to a
cluster without one connects, and then no actor of its starts. So the cluster is asked first.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
DEFAULT_PATH = Path("~/.ray/auth_token")
ANSWER_SECONDS = 15.0
_REFUSED = "InvalidAuthToken"  # what Ray logs of itself at each of its attempts, for 20 s
_OPEN = "no token is asked for"
_KNOCK = f"import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]); print('{_OPEN}', flush=True)"


def show_token(address: str) -> None:
    """Let this process show the user's token where there is one, the cluster wants one, and RAY_AUTH_MODE is not set.

    Args:
        address: host and port of the head.
    """
    if MODE in os.environ or not _has_token() or not asks_for_token(address):
        return
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # it would recommend what it was just told to do
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # setting the variable now would be too late


def asks_for_token(address: str) -> bool:
    """Knock without one, in a process of its own: Ray reads its mode once."""
    knock = subprocess.Popen(
        [sys.executable, "-c", _KNOCK, address], env=os.environ | {MODE: "disabled"}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    patience = threading.Timer(ANSWER_SECONDS, knock.kill)
    patience.start()
    try:
        for line in knock.stdout or ():
            if _REFUSED in line or _OPEN in line:
                return _REFUSED in line
        return False
    finally:
        patience.cancel()
        knock.kill()
        knock.communicate()


def _has_token() -> bool:
    """By the places where Ray looks. Asking Ray's own loader is enough to break the actors of a driver without one."""
    return bool(os.environ.get(TOKEN) or os.environ.get(TOKEN_PATH) or DEFAULT_PATH.expanduser().is_file())

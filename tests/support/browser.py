"""A page in a real browser: headless Chromium, seen through what it measures of itself and what it complains of."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60.0
# Added to a copy of the page; a frame may be narrower than any window that Chromium makes.
MEASURE = """<script>
addEventListener("load", () => {
  const scrolls = one => one.closest(".scroll") !== null;
  const wide = [...document.body.querySelectorAll("*")].filter(
    one => !scrolls(one) && one.getBoundingClientRect().right > innerWidth + 1);
  parent.postMessage(JSON.stringify({
    width: innerWidth, scroll: document.documentElement.scrollWidth,
    images: [...document.images].map(one => [one.complete && one.naturalWidth > 0, one.getBoundingClientRect().width]),
    scales: [...document.querySelectorAll(".scroll img")].map(
      one => one.getBoundingClientRect().width / parseFloat(one.style.getPropertyValue("--inches"))),
    cut: [...document.querySelectorAll(".scroll")].filter(
      one => one.querySelector(":scope > table") && one.scrollWidth > one.clientWidth + 1).map(
      one => one.getAttribute("aria-label")),
    wide: wide.map(one => one.outerHTML.slice(0, 80)),
    letters: Math.min(...[...document.querySelectorAll("p, li, td, th")].map(
      one => parseFloat(getComputedStyle(one).fontSize))),
  }), "*");
});
</script>"""
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe src="{page}" width="{width}" height="900" style="border:0"></iframe>
<script>addEventListener("message", event => {{
  const found = document.createElement("pre"); found.id = "found"; found.textContent = event.data;
  document.body.append(found);
}});</script></body>"""


class Seen(NamedTuple):
    """What the browser found.

    Args:
        measured: width, scroll (the page's own width), images [(loaded, width)], scales (pixels of an inch of every
            figure that scrolls), cut (tables that are wider than their place), wide
            (what sticks out), letters (the smallest, in pixels).
        console: everything that was written there.
    """

    measured: dict[str, Any]
    console: list[str]


def look(page: Path, width: int) -> Seen:
    """Open a copy of the page in a frame of this width."""
    assert CHROMIUM is not None
    copy, frame = page.with_name("copy.html"), page.with_name("frame.html")
    copy.write_text(page.read_text().replace("</body>", f"{MEASURE}</body>"))
    frame.write_text(FRAME.format(page=copy.name, width=width))
    profile = page.with_name("profile")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000",
         f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom",
         frame.as_uri()],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(json.loads(unescape(found.group(1))), console)

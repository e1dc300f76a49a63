"""Report pages, parsed and held to needing nothing from outside; and small reports."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from rich.console import Console

from search.analysis import rows
from search.page import page
from search.terminal import terminal
from tests.support.journals import journal
from tracking.journal import Event

KINDS = ("accuracy-cost", "anytime", "ledger", "invariance", "learned")  # of `journal()`, where nothing is pre-trained
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Parsed(HTMLParser):
    """Checks nesting and keeps what a page refers to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.alternatives: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"a handler: {name}"
            if name in ("src", "href", "srcset", "action", "data"):
                self.sources.append(value or "")
            if name == "alt":
                self.alternatives.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> inside <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check_self_contained(text: str) -> Parsed:
    """Parses, and needs nothing from outside: neither in the page nor inside its figures."""
    parsed = Parsed(text)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags), "foreign elements"
    assert all(s.startswith("data:image/") for s in parsed.sources), "a source that is not inside the file"
    vectors = [base64.b64decode(s.partition(",")[2]).decode() for s in parsed.sources if "svg+xml" in s[:20]]
    for piece in (text, *vectors):
        # Names of XML namespaces and of the document type look like addresses and are never fetched.
        names = re.compile(r'xmlns(:\w+)?="[^"]*"|"-//W3C//DTD SVG 1\.1//EN"\s+"[^"]*"|rdf:resource="[^"]*"')
        assert not re.search(r"https?://|url\((?!#)|@import", names.sub("", piece)), "an address"
    return parsed


def small(seconds: float = 1.0) -> list[Event]:
    """One problem, two methods: enough where only files matter."""
    return journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=(), seconds=seconds)


def html(events: Sequence[Event]) -> str:
    return page(rows(events), events)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def printed(events: Sequence[Event], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(*terminal(rows(events), events), sep="\n")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()

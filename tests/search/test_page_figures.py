"""What the written files hold of each figure: words for those who do not see it, its table, its numbers; on paper too.

The sweep is the one of `hand_worked.py`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from search import report
from search.analysis import rows
from search.page import MOST_BYTES, page
from search.strips import Strip
from tests.search.hand_worked import PROBLEM, swept
from tests.support.pages import small

FIVE_MEGABYTES = 5_000_000
NEEDED = {"body", "figure", "img", "table", "p", "ul", "li", "th", "td", "tr", "h2", "h3", ".scroll", ".beside"}
TITLES = [  # of the sweep's figures, the first of which stands beside the table of results
    "What was reached by when", "Where the cost went", "Measured invariance beside the planted truth",
    "Invariance and accuracy by class", "What was learned", "When pre-training pays",
    "Score against cost in the tuning",
]


@dataclass
class Part:
    """What stands between two headings of a page."""

    title: str
    alternatives: list[str] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)  # of its tables, heads included


class Outline(HTMLParser):
    """A page by its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts = [Part("")]
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("h1", "h2", "h3"):
            self.parts.append(Part(""))
        elif tag == "img":
            self.parts[-1].alternatives.append(dict(attrs).get("alt") or "")
        elif tag == "tr":
            self.parts[-1].lines.append([])
        elif tag in ("th", "td"):
            self.parts[-1].lines[-1].append("")
        self._inside = tag if tag in ("h1", "h2", "h3", "th", "td") else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside in ("th", "td"):
            self.parts[-1].lines[-1][-1] += data
        elif self._inside:
            self.parts[-1].title += data


def check_words_and_tables(text: str) -> dict[str, Part]:
    """Every image has words of its own, and a table below the same heading; heading -> what is below, of these."""
    found = {part.title: part for part in Outline(text).parts if part.alternatives}
    said = [words for part in found.values() for words in part.alternatives]
    assert text.count("<img") == len(said) > 0
    assert len(set(said)) == len(said), "two figures have the same words"
    for words in said:
        assert len(re.findall(r"[a-z]{3,}", words)) >= 5 and re.search(r"\d", words), f"no words: {words!r}"
    for part in found.values():
        heads, *lines = part.lines or [[]]
        assert heads and lines, f"no table beside {part.title}"
        assert all(len(line) == len(heads) and all(line) for line in lines), part.title
    return found


def check_prints_well(text: str) -> None:
    """Nothing that is needed is left out or cut off on paper, and no figure, line or heading is torn."""
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    found: dict[str, dict[str, str]] = {}
    for block in re.findall(r"@media print \{((?:[^{}]*\{[^{}]*\})*)\s*\}", style):
        for selectors, body in re.findall(r"([^{}]*)\{([^{}]*)\}", block):
            said = dict(re.split(r":\s*", one.strip(), maxsplit=1) for one in body.split(";") if one.strip())
            for selector in selectors.split(","):
                found.setdefault(selector.strip(), {}).update(said)
    for selector, said in found.items():
        hidden = {"display": "none", "visibility": "hidden", "overflow": "hidden"}.items() & said.items()
        assert not hidden or selector not in NEEDED, f"{selector} is hidden"
    for selector in ("figure", "tr"):
        assert found.get(selector, {}).get("break-inside") == "avoid", f"{selector} may be torn"
    for selector in ("h2", "h3"):
        assert found.get(selector, {}).get("break-after") == "avoid", f"{selector} may stand alone"
    assert found.get(".scroll", {}).get("overflow") == "visible", "wide tables are cut: paper does not scroll"
    assert found.get("body", {}).get("max-width") == "none"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report."""
    folder = tmp_path_factory.mktemp("report")
    report.write(swept(), folder)
    return folder


@pytest.fixture(scope="module")
def text(written: Path) -> str:
    return (written / "report.html").read_text()


def test_every_figure_has_words_of_its_own_and_a_table(text: str) -> None:
    found = check_words_and_tables(text)
    assert list(found) == [PROBLEM, *TITLES]
    assert all(len(part.alternatives) == 1 for part in found.values())
    words = {title: part.alternatives[0] for title, part in found.items()}
    assert "git 67.5 % at 23.0 plain trainings" in words[PROBLEM]  # .65 and .7; 20, 0.2, 1.2 and twice 0.8
    assert "git: pre-training 20, probe 0.2, tuning 1.2, search 0.6, retraining 1" in words["Where the cost went"]
    assert "git against plain: from 3 tasks" in words["When pre-training pays"]
    assert "git: 50.0 % at 0.4, 80.0 % at 0.8" in words["Score against cost in the tuning"]


def test_the_tables_beside_the_figures_hold_what_these_draw(text: str) -> None:
    found = check_words_and_tables(text)
    heads, *lines = found["Where the cost went"].lines
    told = [dict(zip(heads, line, strict=True)) for line in lines]
    parts = ("pre-training", "probe", "tuning", "search", "retraining", "everything",
             "harness scoring (not in everything)")
    assert [(line["method"], *(line[f"{part}, plain trainings"] for part in parts)) for line in told] == [
        ("plain", "0.00", "0.10", "6.50", "0.00", "6.00", "12.6", "1.26"),  # a tenth of it, for the harness's scoring
        ("git", "20.0", "0.20", "1.20", "0.60", "1.00", "23.0", "0.30"),
    ]
    assert [line[:1] + line[2:3] for line in found["What was reached by when"].lines[1:]] == [
        ["plain", "1 of 2"], ["git", "1 of 2"],  # the mean of plain's two is .75: one of .9, and one of .75
    ]
    assert found["Score against cost in the tuning"].lines[1:] == [
        ["plain", "60.0 %", "0.50"], ["plain", "70.0 %", "1.00"], ["plain", "90.0 %", "3.00"],
        ["git", "50.0 %", "0.40"], ["git", "80.0 %", "0.80"],
    ]
    assert [line[0] for line in found["Measured invariance beside the planted truth"].lines[1:]] == [
        "rotation: helps up to 60 deg", "shear: harms from 0.4", "brightness: nothing planted",
    ]
    assert found["When pre-training pays"].lines[1][:3] == ["git", "plain", "3"]


@pytest.mark.parametrize(
    "broken",
    [
        '<h3>a</h3><img alt=""><table><tr><th>a</th></tr><tr><td>1</td></tr></table>', "<p>no figure</p>",
        '<h3>a</h3><img alt="many words that say it: one 1">',
        '<h3>a</h3><img alt="many words that say it: one 1"><table><tr><th>heads alone</th></tr></table>',
        '<h3>a</h3><img alt="figure 1"><table><tr><th>a</th></tr><tr><td>1</td></tr></table>',
        2 * '<h3>a</h3><img alt="many words that say it: one 1"><table><tr><th>a</th></tr><tr><td>1</td></tr></table>',
    ],
    ids=["empty words", "no figure", "no table", "a table of heads", "too few words", "the same words twice"],
)
def test_the_check_of_words_and_tables_itself_rejects(broken: str) -> None:
    with pytest.raises(AssertionError):
        check_words_and_tables(broken)


def test_the_file_beside_the_figure_holds_the_planted_truth(written: Path) -> None:
    with (written / "figures" / f"invariance-{PROBLEM}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    told = [(line["method"], line["action"], line["unit"], line["effect"], line["planted"]) for line in lines]
    assert told == [
        (method, *truth) for method in ("plain", "git") for truth in (
            ("rotation", "deg", "helps", "60.0"), ("shear", "", "harms", "0.4"), ("brightness", "", "not planted", ""),
        )
    ]
    assert [float(line["agreement"]) for line in lines] == pytest.approx([0.4, 0.9, 0.6, 1.0, 0.5, 0.2])


def test_the_page_prints_well(text: str) -> None:
    check_prints_well(text)


@pytest.mark.parametrize(
    ("rule", "instead"),
    [
        ("@media print", "@media (max-width: 1rem)"), (".beside, tr, figure {", ".beside, tr {"),
        (".scroll { overflow: visible; }", ".scroll { overflow-x: auto; }"),
        ("h2, h3 { break-after", "h2 { break-after"),
        ("h2, h3 { break-after", "figure { display: none; } h2, h3 { break-after"), ("max-width: none;", ""),
    ],
    ids=["no rule", "torn figures", "cut tables", "a heading alone", "no figures", "a narrow page"],
)
def test_the_check_of_printing_itself_rejects(rule: str, instead: str, text: str) -> None:
    assert rule in text
    with pytest.raises(AssertionError):
        check_prints_well(text.replace(rule, instead))


def test_images_are_shown_up_to_five_megabytes_of_page() -> None:
    """1.1 million bytes are 1.47 million characters: three fit beside the figures' 0.2, and a fourth does not."""
    assert 4_800_000 < MOST_BYTES <= FIVE_MEGABYTES
    events = small()
    strips = [Strip("one", f"method {k}", bytes([k]) * 1_100_000) for k in range(4)]
    pages = [page(rows(events), events, None, strips[:count]) for count in (3, 4)]
    assert [made.count("<figcaption>one, method") for made in pages] == [3, 3]
    assert all(3 * 1_466_000 < len(made.encode()) <= FIVE_MEGABYTES for made in pages)

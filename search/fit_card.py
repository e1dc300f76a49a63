"""What `invsearch fit` leaves: the model card in plain words, the transforms to paste, the network, and the list.

    card.md            what the images want, the best method, how it was found, what it cannot say
    augmentation.py    torchvision transforms
    model.pt2          the best network, a program of `torch.export`
    invariances.csv    the list as numbers
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.fit_findings import Finding, Saying, records
from search.fit_plan import PLAIN
from search.report import replace
from search.row import Row
from search.sentences import score_said
from search.sweep import Sweep
from search.tables import to_csv
from search.words import listed
from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from tracking.errors import StorageError
from trainables.modules.policy_pipeline import source
from trainables.problems.bank import SWITCHES
from trainables.program import NAME as NETWORK

REPORT = "report.html"
PIPELINE = "augmentation.py"  # as the methods' own exports name it
OWN = ("learned_ranges",)  # its own pipeline is what it was trained with


def words(
    rows: Sequence[Row], found: Sequence[Finding], best: Row | None, images: str, untried: Sequence[str] = ()
) -> list[str]:
    """The card's first lines: plain words only.

    Args:
        untried: factors of which nothing is found: a verdict on the others must not pass for one on these.
    """
    said = [images]
    if not found:
        return [*said, "Nothing can be said yet: it takes two seeds at least of the plain training and of a factor."]
    if untried:
        said.append(
            f"{len(untried)} of {len(found) + len(untried)} factors were not tried, or on fewer than two seeds: "
            f"{listed(untried)}."
        )
    helping, harming = ([one.factor for one in found if one.saying is s] for s in (Saying.HELPS, Saying.HARMS))
    if helping:
        said.append(f"Your task wants invariance to {listed(helping)}: augment by it.")
    else:
        which = "Of the others none" if untried else "No invariance"
        said.append(f"{which} was found to help; more images or more minutes may tell more.")
    if harming:
        said.append(f"Do not augment by {listed(harming)}: it makes the network worse.")
    plain = next((row for row in rows if row.method == PLAIN), None)
    return [*said, *_best(best, plain, bool(helping))] if best is not None and plain is not None else said


def _best(best: Row, plain: Row, helped: bool) -> list[str]:
    """Which network is kept.

    Args:
        helped: whether a factor is said to help: a plain best is no contradiction, since it is judged on other images.
    """
    if best.test is None or plain.test is None:
        return []
    at = f"test accuracy {score_said(best.test, best.accuracy)}"
    if best.method != PLAIN:
        return [f"Best by validation: {best.method}, {at} against {score_said(plain.test, plain.accuracy)} of the "
                "plain training."]
    why = "; validation and test do not agree here" if helped else ""
    return [f"The plain training itself was best by validation, {at}: the network is without augmentation{why}."]


def write(
    made: Sweep, rows: Sequence[Row], found: Sequence[Finding], best: Row | None, images: str, notes: Sequence[str],
    takes_and_gives: Sequence[str] = (), untried: Sequence[str] = (),
) -> list[Path]:
    """Write the files below the sweep's folder.

    Args:
        best: the row of the highest select score; None where none has one.
        images: one sentence on the data.
        notes: what is to be read with care.
        takes_and_gives: the network's input and output.
        untried: as of `words`.
    """
    folder = (made.place.local or Path.cwd() / made.name) / "fit"
    folder.mkdir(parents=True, exist_ok=True)
    written = [replace(folder / "invariances.csv", to_csv(records(found)).encode())]
    pipeline, told = _pipeline(made, found, best)
    if pipeline is not None:
        written.append(replace(folder / PIPELINE, pipeline))
    if (network := _export(made, best, NETWORK)) is not None:
        written.append(replace(folder / NETWORK, network))
    lines = [
        f"# {made.name}", "", *words(rows, found, best, images, untried), "", *_cared(notes), "## Invariances", "",
        *([f"{place}. {one.sentence}" for place, one in enumerate(found, start=1)] or ["None yet."]), "",
        "## Files", "",
        f"- `{PIPELINE}`: {told}" if pipeline else f"- no transforms: {told}",
        *([f"- `{NETWORK}`: the best network; `torch.export.load(...).module()`"] if network else []),
        *(f"  - {line}" for line in takes_and_gives if network),
        "- `invariances.csv`: the list as numbers",
        f"- [the full report]({made.report / REPORT})" if made.report.exists(REPORT) else "- no report yet", "",
        "## How this was found", "", *HOW,
    ]
    return [replace(folder / "card.md", ("\n".join(lines) + "\n").encode()), *written]


HOW = (
    "- Every factor was tried alone, drawn anew for every image up to the range named, against a plain training on the "
    "same seeds with the same number of updates.",
    "- `helps` and `harms`: paired t-tests over seeds, corrected after Holm over all factors, p <= 0.05. `makes no "
    "difference`: the whole 95 % interval lies within one point. All else is not enough data to say.",
    "- Factors that help alone need not add up. Other ranges than the ones tried were seen by `learned_ranges` only.",
    "- Every training read the test images once, at its end. The list is judged on these scores, the best method on "
    "the select split. Intervals are over trainings, on these test images: other images of yours may differ.",
)


def _cared(notes: Sequence[str]) -> list[str]:
    return [*(f"- **Read with care:** {note}" for note in notes), ""] if notes else []


def _pipeline(made: Sweep, found: Sequence[Finding], best: Row | None) -> tuple[bytes | None, str]:
    """The transforms, and what they are."""
    if best is not None and best.method in OWN and (own := _export(made, best, PIPELINE)) is not None:
        return own, f"what `{best.method}` learned"
    helping = [pair for one in found if one.saying is Saying.HELPS for pair in one.tried.items()]
    if not helping:
        return None, "nothing was found to help"
    entries = tuple(
        # A flip is in full once it is drawn; it was trained with a fair coin.
        PolicyEntry(
            operation=Operation(action), weight=(0.5 if action in SWITCHES else 1.0) / len(helping), limit=width
        )
        for action, width in helping
    )
    return source(Policy(entries=entries)).encode(), "one of the helping actions per image, up to the range named"


def _export(made: Sweep, best: Row | None, name: str) -> bytes | None:
    if best is None:
        return None
    try:
        return (made.exports / best.problem / best.method).read(name)
    except (OSError, StorageError):
        return None

"""What methods, makers and the machine warned of while a sweep ran, as its report repeats it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from search.drift import DATA_DIFFER, VERSIONS_DIFFER
from search.made import all_made
from tracking.journal import Event
from tracking.record import Stage
from trainables.artefact_store import FOLDER

MOST = 12  # that a report repeats
_TRIAL = re.compile(r"^(?P<row>.+)/(?P<stage>[a-z]+)-\d+: (?P<said>.*)$", re.DOTALL)
_MAKING = re.compile(rf"^{FOLDER}/(?P<key>[0-9a-f]+)(?:-\d+)?: (?P<said>.*)$", re.DOTALL)
_DRIFT = (VERSIONS_DIFFER, DATA_DIFFER)  # said at the top of a report, as mixed versions and mixed data


def warned(events: Sequence[Event]) -> tuple[str, ...]:
    """Each warning once, whichever seeds and rows gave it; those about results before all others.

    First what makers and confirm trials say, then tuning, then the rest.
    """
    labels = {one.key: one.label for one in all_made(events).values()}
    told = [_placed(str(event["text"]), labels) for event in events if event["kind"] == "warning"]
    alike: dict[tuple[int, str], dict[str, None]] = {}
    for place, who, said in told:
        if not said.startswith(_DRIFT):
            alike.setdefault((place, said), {})[who] = None
    ordered = sorted(alike.items(), key=lambda pair: pair[0][0])
    texts = [f"{', '.join(filter(None, who))}: {said}" if any(who) else said for (_, said), who in ordered]
    rest = len(texts) - MOST
    more = (f"{rest} further {'warning is' if rest == 1 else 'warnings are'} in the journal.",) if rest > 0 else ()
    return (*(f"Warned while running: {text}" for text in texts[:MOST]), *more)


def _placed(text: str, labels: Mapping[str, str]) -> tuple[int, str, str]:
    """How early it is said, who says it in words that a reader knows, if anybody, and what."""
    if (making := _MAKING.match(text)) is not None:
        label = next((label for key, label in labels.items() if key.startswith(making["key"])), making["key"])
        return 0, label, making["said"]
    if (trial := _TRIAL.match(text)) is not None:
        return int(trial["stage"] not in (Stage.RERUN, Stage.REPLAY)), trial["row"], trial["said"]
    return 2, "", text

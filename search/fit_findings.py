"""What a user's images want: a ranked list of invariances, each with what the trainings allow to say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from search.fit_plan import PLAIN, Reach
from search.gains import Gain, gains
from search.row import Row
from search.sentences import TOO_FEW, p_text
from search.statistics import ALPHA, detectable
from search.words import listed
from trainables.problems.bank import SWITCHES

SAME_POINTS = 1.0  # an interval within so many points of zero says that it makes no difference


class Saying(StrEnum):
    """In plain words."""

    HELPS = "helps"
    HARMS = "harms"
    SAME = "makes no difference"
    UNKNOWN = "not enough data to say"


_ORDER = (Saying.HELPS, Saying.SAME, Saying.UNKNOWN, Saying.HARMS)


@dataclass(frozen=True, slots=True)
class Finding:
    """Augmentation by one factor alone, against a plain training on the same seeds.

    Args:
        tried: action -> half-width in its unit; units: action -> its unit.
        points: gain in test accuracy, with its 95 % interval.
        p: after Holm, over all factors.
        least: gain that would have been found in four of five such runs; None without spread.
    """

    factor: str
    tried: Mapping[str, float]
    units: Mapping[str, str]
    saying: Saying
    points: tuple[float, float, float]
    p: float
    seeds: int
    least: float | None

    @property
    def sentence(self) -> str:
        mean, low, high = self.points
        size = f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}]"
        match self.saying:
            case Saying.HELPS | Saying.HARMS:
                return f"{self._named()}: {self.saying}, {size}, {p_text(self.p)} on {self.seeds} seeds"
            case Saying.UNKNOWN if self.least is not None:
                size += f"; {self._power(self.least)}"
        return f"{self._named()}: {self.saying} ({size})"

    @staticmethod
    def _power(least: float) -> str:
        """No two accuracies are a hundred points apart."""
        if least >= 100:
            return TOO_FEW
        return f"only a true difference of about {least:.1f} points would have been found in four of five such fits"

    def _named(self) -> str:
        """"scale (up to ...)", "translation (translate_x up to 22.5 % of the width and ...)", "flip_vertical"."""
        ranges = [
            f"{'' if action == self.factor else f'{action} '}up to {_reach(width, self.units.get(action, ''))}"
            for action, width in self.tried.items() if action not in SWITCHES
        ]
        return f"{self.factor} ({listed(ranges)})" if ranges else self.factor


def findings(rows: Sequence[Row], tried: Reach, units: Mapping[str, str], tested: int) -> list[Finding]:
    """What helps first, the most first; then what makes no difference, what is not known, and what harms.

    Paired t-tests against the plain training on the same seeds, corrected after Holm over all factors.

    Args:
        tested: test images: fewer than a hundred do not show differences of a point.
    """
    found = gains(rows, dict.fromkeys(tried, PLAIN))
    fine = 100 / max(1, tested) <= SAME_POINTS
    made = [_finding(one, tried[one.row.method], units, len(found), fine) for one in found]
    return sorted(made, key=lambda one: (_ORDER.index(one.saying), -one.points[0]))


def records(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """One line per action of each factor."""
    return [
        {
            "factor": one.factor, "action": action, "tried_up_to": width, "unit": one.units.get(action, ""),
            "saying": str(one.saying), "gain_points": one.points[0], "gain_points_low95": one.points[1],
            "gain_points_high95": one.points[2], "p_holm": one.p, "seeds": one.seeds, "detectable_points": one.least,
        }
        for one in found for action, width in one.tried.items()
    ]


def _reach(width: float, unit: str) -> str:
    """How far a half-width goes, for who knows no logarithms and tangents; of an unknown unit as it is."""
    match unit.split(" of "):
        case ["deg"]:
            return f"{width:.3g} degrees"
        case ["tangent"]:
            return f"{math.degrees(math.atan(width)):.2g} degrees"
        case ["turn"]:
            return f"{360 * width:.3g} degrees of the colour circle"
        case ["log factor"]:
            return f"{100 * math.expm1(width):.2g} % larger, or smaller by the same factor"
        case ["factor"]:
            return f"{100 * width:.3g} % more or less"
        case ["fraction", side]:
            return f"{100 * width:.3g} % of the {side}"
    return f"{width:.2g} {unit}".strip()


def _finding(one: Gain, tried: Mapping[str, float], units: Mapping[str, str], tests: int, fine: bool) -> Finding:
    gap = one.test.difference
    low, high = (gap.mean if end is None else end for end in (gap.low, gap.high))
    points = (100 * gap.mean, 100 * low, 100 * high)
    least = detectable(one.test.sd, gap.count, ALPHA / tests)
    if one.p_holm <= ALPHA:
        saying = Saying.HELPS if gap.mean > 0 else Saying.HARMS
    else:
        # Scores without any spread (all right, or all at chance) show no difference because they can show none.
        close = fine and not one.test.by_sign and max(map(abs, points)) <= SAME_POINTS
        saying = Saying.SAME if close else Saying.UNKNOWN
    return Finding(
        one.row.method, tried, units, saying, points, one.p_holm, gap.count, None if least is None else 100 * least
    )

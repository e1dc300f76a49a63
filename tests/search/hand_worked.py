"""A sweep small enough to work its whole report out by hand: one problem, a control and a pre-trained search.

Costs in plain trainings (1000 FLOPs), select scores behind them:

            pre-training  probe  trials of the tuning             one confirm training
    plain   -             0.1    0.5 .6   1 .7   2 .65   3 .9     3
    git     20            0.2    0.4 .5   0.8 .8                  0.8, of these 0.3 search

The tuning of plain costs 6.5 in all, that of git 1.2; there are two confirm trainings of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from search.analysis import rows
from search.exhibits import Exhibits
from tests.support.journals import Writer, pretrained
from tracking.journal import Event
from tracking.record import Stage

PROBLEM, UNIT = "turned", 1000
TRUTH = {"invariant": {"rotation": 60.0}, "harmful": {"shear": 0.4}}
TRIALS = {"plain": ((500, 0.6), (1000, 0.7), (2000, 0.65), (3000, 0.9)), "git": ((400, 0.5), (800, 0.8))}
CONFIRM = {"plain": 3000, "git": 800}
SELECT = {"plain": (0.6, 0.9), "git": (0.7, 0.75)}  # by seed, of the confirm trainings
AGREEMENT = {  # by seed
    "plain": {"rotation": (0.3, 0.5), "shear": (0.9, 0.9), "brightness": (0.5, 0.7)},
    "git": {"rotation": (1.0, 1.0), "shear": (0.4, 0.6), "brightness": (0.1, 0.3)},
}
CLASSES = {  # by seed; the slope is ln(0.02 / 0.5) / ln(200 / 50), and so on
    "plain": {"accuracy/of_0": (0.9, 0.7), "accuracy/of_1": (0.3, 0.5), "ekld/of_0": (0.02, 0.04),
              "ekld/of_1": (0.5, 0.7), "ekld/slope": (-2.32, -2.06)},
    "git": {"accuracy/of_0": (0.8, 1.0), "accuracy/of_1": (0.6, 0.6), "ekld/of_0": (0.01, 0.03),
            "ekld/of_1": (0.1, 0.3), "ekld/slope": (-1.66, -1.66)},
}
SIZES = {"size/of_0": 200.0, "size/of_1": 50.0}
LEARNED = {"rotation/range_deg": 44.0, "shear/range_deg": 12.0, "rotation/probability": 0.3}  # two units


def swept() -> list[Event]:
    """The journal; two objectives, so that a front is there too."""
    writer = Writer("by-hand")
    writer.begin([PROBLEM], list(TRIALS), 2, {PROBLEM: TRUTH})
    writer.events[0]["comparison"]["sampler"] = "nsga_ii"
    writer.trial(PROBLEM, "budget-unit", Stage.UNIT, 0, UNIT)
    for method, probe in (("plain", 100), ("git", 200)):
        writer.trial(PROBLEM, method, Stage.PROBE, 0, probe)
        for index, (flops, score) in enumerate(TRIALS[method]):
            writer.trial(PROBLEM, method, Stage.TUNE, index, flops, score=score)
        writer.done(PROBLEM, method, "tune")
        for seed in (1, 2):
            writer.trial(
                PROBLEM, method, Stage.RERUN, seed, CONFIRM[method], score=SELECT[method][seed - 1],
                extra=_final(method, seed),
            )
        writer.done(PROBLEM, method, "confirm")
    writer.emit("sweep_done")
    return pretrained(writer.events, {(PROBLEM, "git"): ["k"]}, {"k": 20 * UNIT})


def figure(kind: str, events: Sequence[Event] | None = None) -> Figure:
    """As the report of the sweep draws it, of its only problem."""
    events = swept() if events is None else events
    shown = Exhibits(rows(events), events)
    (problem,) = shown.plan.problems
    (found,) = [one for one in shown.of(problem) if one.name == f"{kind}-{problem}"]
    return found.draw()


def _final(method: str, seed: int) -> Mapping[str, float]:
    """What a confirm training's last report carries on top."""
    found = {"test/score": SELECT[method][seed - 1] - 0.05}
    found |= {f"invariance/{action}/agreement": by[seed - 1] for action, by in AGREEMENT[method].items()}
    found |= {f"classes/{name}": by[seed - 1] for name, by in CLASSES[method].items()}
    found |= {f"classes/{name}": size for name, size in SIZES.items()}
    if method == "git":
        found |= {f"learned/{name}": value for name, value in LEARNED.items()}
        found |= {"cost/search/flops": 300.0, "cost/train/flops": 500.0}
    return found

"""Every sampler: the same sequence gives the same proposals, a resume repeats it, and any space is served."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from optuna.trial import TrialState, create_trial

from search import grid
from search.front import hypervolume
from search.proposer import VERIFIED, Proposer, kept_trials
from search.samplers import GAUSSIAN, Sampling, fitting, sampling
from search.settings import SamplerName
from spaces.distributions import distributions
from spaces.domain import Choice, Float, Int, Point, Space
from tests.support.simulation import comparison
from tracking.record import Status

SPACES = {
    "mixed": Space({
        "rate": Float(low=1e-3, high=1, log=True), "share": Float(low=0, high=1), "width": Int(low=1, high=10),
        "kind": Choice(options=("x", True, 1, None)),
    }),
    "line": Space({"share": Float(low=0, high=1)}),
    "choices": Space({"kind": Choice(options=("x", "y"))}),
    "empty": Space({}),
}
LEARNING = [SamplerName.TPE, SamplerName.CMA_ES, SamplerName.NSGA_II, SamplerName.MOTPE]
FAST = [name for name in SamplerName if name not in GAUSSIAN]


def proposals(
    name: SamplerName, space: Space, count: int, *, seed: int = 0, recorded: Sequence[Point] = (), spoiled: int = -1
) -> list[Point]:
    """What is proposed while three trials run side by side and end in any order and way; a window of 50."""
    chosen = Sampling(fitting(name, space)[0], seed, startup_trials=4, window=50, population=6)
    first = [space.decode([0.5] * len(space.names))]
    on_grid = name is SamplerName.GRID
    proposer = Proposer(space, chosen, [*first, *(grid.points(space, 3, seed) if on_grid else ())], only_first=on_grid)
    chance, running, found = random.Random(1), list[tuple[str, Point]](), list[Point]()
    while len(found) < count and not (proposer.exhausted and not running):
        while len(running) < 3 and not proposer.exhausted:
            index = len(found)
            found.append(proposer.ask(str(index), recorded[index] if index < len(recorded) else None))
            running.append((str(index), found[-1]))
        uid, point = running.pop(chance.randrange(len(running)))
        score = -abs(float(point.get("share") or 0.0) - 0.3) - (point.get("kind") != "x") - (int(uid) % 4 == spoiled)
        proposer.report(uid, 0, score)
        status = chance.choice([Status.COMPLETE, Status.COMPLETE, Status.PRUNED, Status.FAILED])
        proposer.end(uid, status, None if status is Status.FAILED else score, flops=len(str(point)))
    return found


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", FAST)
def test_a_sequence_is_repeated_and_resumed_exactly(
    name: SamplerName, space: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through the window's edge; half of the proposals are taken from the journal. Nothing is said on the screen."""
    first = proposals(name, SPACES[space], 80)
    assert proposals(name, SPACES[space], 80, recorded=first[:40]) == first
    assert all(SPACES[space].contains(point) for point in first)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", GAUSSIAN)
def test_a_gaussian_process_is_repeated_and_resumed_exactly(
    name: SamplerName, capfd: pytest.CaptureFixture[str]
) -> None:
    first = proposals(name, SPACES["line"], 12)
    assert proposals(name, SPACES["line"], 12, recorded=first[:8]) == first
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [n for n in FAST if n is not SamplerName.GRID])
def test_control_another_seed_proposes_otherwise(name: SamplerName) -> None:
    space = SPACES["mixed"]
    assert proposals(name, space, 40)[1:] != proposals(name, space, 40, seed=1)[1:]


@pytest.mark.parametrize("name", LEARNING)
def test_control_what_is_observed_moves_a_sampler_that_learns(name: SamplerName) -> None:
    """So the equality of sequences is not that of a sampler that hears nothing."""
    one, other = (proposals(name, SPACES["mixed"], 80, spoiled=spoiled) for spoiled in (-1, 2))
    assert one[:5] == other[:5] and one != other


@pytest.mark.parametrize("name", [SamplerName.QUASI_RANDOM, SamplerName.RANDOM])
def test_a_sampler_that_learns_nothing_hears_nothing(name: SamplerName) -> None:
    assert proposals(name, SPACES["mixed"], 40) == proposals(name, SPACES["mixed"], 40, spoiled=2)


def test_recorded_proposals_are_taken_over_where_that_is_safe() -> None:
    """The first ones are made again, by which another version of the code is noticed."""
    space = SPACES["line"]
    odd: list[Point] = [{"share": 0.123}] * 80
    found = proposals(SamplerName.TPE, space, 80, recorded=odd)
    assert odd[0] not in found[:VERIFIED] and found[VERIFIED:] == odd[VERIFIED: len(found)]
    assert odd[0] not in proposals(SamplerName.RANDOM, space, 80, recorded=odd)  # its state has to be carried on


def test_control_the_options_of_the_mixed_space_cannot_be_taken_over() -> None:
    """Optuna takes 1 for True, so there even recorded proposals are made again; else the law above would not hold."""
    odd: list[Point] = [{"rate": 0.5, "share": 0.123, "width": 7, "kind": 1}] * 40
    assert odd[0] not in proposals(SamplerName.TPE, SPACES["mixed"], 40, recorded=odd)


def test_the_best_and_the_latest_are_kept() -> None:
    space = distributions(SPACES["line"])
    states = [TrialState.RUNNING if n in (3, 99) else TrialState.FAIL if n == 98 else TrialState.COMPLETE
              for n in range(100)]
    trials = [
        create_trial(state=state, values=[float(n == 7) + n / 1e6] if state is TrialState.COMPLETE else None,
                     params={"share": 0.5}, distributions=space)
        for n, state in enumerate(states)
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    kept = [trial.number for trial in kept_trials(trials, 16)]
    assert kept == [3, 7, *range(83, 98), 99]  # two running; of 16, two best (7 and 97); the failed one not


@pytest.mark.parametrize("name", [*LEARNING, SamplerName.QUASI_RANDOM])
def test_the_study_that_a_sampler_sees_stays_small(name: SamplerName) -> None:
    proposer = Proposer(SPACES["mixed"], Sampling(name, 0, window=50), [])
    sizes = []
    for index in range(300):
        proposer.end(str(index), Status.COMPLETE, 0.0, 1) if proposer.ask(str(index)) else None
        sizes.append(len(proposer.observed()))
    assert max(sizes) == 50 and sizes.count(50) > 5 and proposer.thinned


def test_a_thousand_running_trials_do_not_fill_the_window() -> None:
    proposer = Proposer(SPACES["line"], Sampling(SamplerName.TPE, 0, window=50), [])
    for index in range(1000):
        proposer.ask(str(index))
    states = [state for state, _ in proposer.observed().values()]
    assert not proposer.thinned and states.count("RUNNING") == 12  # the latest, that TPE keeps away from
    for index in range(50):
        proposer.report(str(index), 0, 0.5)
        proposer.end(str(index), Status.COMPLETE if index % 2 else Status.PRUNED, index / 50, 1)
    proposer.end("50", Status.FAILED, None, 1)
    ended = [(state, values) for state, values in proposer.observed().values() if state in ("COMPLETE", "PRUNED")]
    assert len(ended) == 50 and ("COMPLETE", [49 / 50]) in ended  # hidden ones are observed all the same, once each
    assert all(t.intermediate_values == {0: 0.5} for t in proposer._study.trials if t.state is TrialState.PRUNED)
    proposer.ask("next")
    states = [state for state, _ in proposer.observed().values()]
    assert proposer.thinned and states.count("RUNNING") == 12
    assert states.count("COMPLETE") + states.count("PRUNED") == 25


def test_cma_es_gives_way_where_it_cannot_work() -> None:
    assert fitting(SamplerName.CMA_ES, SPACES["mixed"]) == (SamplerName.CMA_ES, None)
    for space in ("line", "choices"):
        name, why = fitting(SamplerName.CMA_ES, SPACES[space])
        assert name is SamplerName.TPE and why is not None and "numeric" in why
    assert fitting(SamplerName.CMA_ES, SPACES["empty"])[1] is None


def test_cma_es_approaches_an_optimum_that_random_search_misses() -> None:
    """Known answer: a sphere in four dimensions; so its notes survive the window."""
    space = Space({f"x{i}": Float(low=0, high=1) for i in range(4)})

    def reached(name: SamplerName) -> float:
        proposer, best = Proposer(space, Sampling(name, 3, window=50), []), -1e9
        for index in range(250):
            point = proposer.ask(str(index))
            score = -sum((float(x or 0.0) - 0.37) ** 2 for x in point.values())
            proposer.end(str(index), Status.COMPLETE, score, 1)
            best = max(best, score)
        return best

    assert reached(SamplerName.CMA_ES) > -1e-4 > reached(SamplerName.RANDOM)


@pytest.mark.parametrize(("name", "asked"), [
    (SamplerName.NSGA_II, 500), (SamplerName.MOTPE, 300), pytest.param(SamplerName.MOGP, 30, marks=pytest.mark.slow),
])
def test_a_front_is_found_that_random_search_misses_also_through_the_window(name: SamplerName, asked: int) -> None:
    """Known answer: with score 1 - d(x, 0.3) and cost x the front is x in [0, 0.3], the other parameters at 0.5.

    Of the unit square that front beats .7 + .3 * (.7 + .15) = .955.
    """
    space = Space({f"x{i}": Float(low=0, high=1) for i in range(4)})

    def missing(name: SamplerName) -> float:
        found: list[tuple[float, float]] = []
        proposer = Proposer(space, Sampling(name, 3, window=100, population=20), [])
        for index in range(asked):
            x, *others = (float(value or 0.0) for value in proposer.ask(str(index)).values())
            off = sum((value - 0.5) ** 2 for value in others)
            found.append((1 - abs(x - 0.3) - off, x + off))
            proposer.end(str(index), Status.COMPLETE, found[-1][0], flops=round(1e6 * found[-1][1]))
        return 0.955 - hypervolume(found, worst=(0.0, 1.0))

    assert 0 < missing(name) < 0.4 * missing(SamplerName.RANDOM)


def test_a_generation_is_a_quarter_of_the_budget() -> None:
    described = comparison(sampler="nsga_ii", max_trials=100)
    sizes = [sampling(described, SPACES["mixed"], 0, trials).population for trials in (6.0, 40.0, 1e6)]
    assert sizes == [4, 10, 25]

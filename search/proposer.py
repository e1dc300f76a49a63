"""One real Optuna study that is only asked and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.front import pareto
from search.samplers import Sampling, make_sampler
from search.settings import SamplerName
from spaces.distributions import distributions
from spaces.domain import Choice, Point, Space
from tracking.record import Status
from trainables.method import stable_seed

VERIFIED = 16  # the first proposals of a study are made again on a resume: another code is noticed by them
BEST = 8       # one in so many trials of a full window is kept for its score, the others are the latest

GENERATION = "NSGAIISampler:generation"  # Optuna's own note; what was seen before belongs to the first generation

STATES = {
    Status.RUNNING: TrialState.RUNNING,
    Status.COMPLETE: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.BUDGET: TrialState.PRUNED,
    Status.FAILED: TrialState.FAIL,
}


class Proposer:
    """One in-memory Optuna study: `val/score` is maximised; with two objectives the FLOPs are minimised as well.

    A deterministic state machine: the same sequence of asks, reports and ends gives the same proposals. So a
    resumed sweep repeats the journal's sequence and arrives at the same state. A stateless sampler is made anew for
    each proposal from the study's seed and the proposal's number; then a resume takes recorded proposals as they
    are, which is fast, and does not ask that another processor rounds as the first one did.

    A stateless sampler also looks at the trials that run, so as not to propose the same again, and its time grows
    with them: it is shown the latest, as many as a quarter of a window.

    Args:
        space: what is tuned.
        first: points asked before the sampler is, in this order; the method's defaults are the first of them.
        only_first: nothing is asked after them.
    """

    def __init__(self, space: Space, chosen: Sampling, first: Sequence[Point], only_first: bool = False) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._chosen, self._distributions = space, chosen, distributions(space)
        self._planned, self._only_planned = _distinct(first), only_first
        # Optuna takes options that are equal, such as 1 and True, for one: what it proposed could not be told it again.
        told_apart = all(len(set(d.options)) == len(d.options) for d in space.root.values() if isinstance(d, Choice))
        self._takes_over = chosen.stateless and told_apart
        self._asked = 0
        self._open: dict[str, int | None] = {}  # uid -> number in the study, in the order of asking
        self._hidden: dict[str, FrozenTrial | None] = {}  # running trials that the sampler is not shown
        self._sampler = make_sampler(chosen, chosen.seed, self._distributions)
        self._thinned = False
        self._begin_study()

    @property
    def exhausted(self) -> bool:
        """Every point there is has been asked."""
        return self._only_planned and self._asked >= len(self._planned)

    @property
    def sampler(self) -> str:
        """By name."""
        return str(self._chosen.name)

    @property
    def thinned(self) -> bool:
        """Whether trials were left out to keep the time per proposal."""
        return self._thinned

    def ask(self, uid: str, recorded: Point | None = None, trusted: bool = False) -> Point:
        """The next point; a space without parameters always gives the empty one.

        Args:
            recorded: what the journal says was proposed; taken over where the sampler need not be asked for it.
            trusted: take it over in any case: the user mixes versions, and this one might propose another point.
        """
        index, self._asked = self._asked, self._asked + 1
        if self._ended >= self._chosen.window:
            self._thin()
        while self._chosen.stateless and len(self._open) >= self._chosen.window // 4:
            self._hide()
        if recorded is not None and trusted:
            return self._take_over(uid, recorded)
        if index < len(self._planned):
            point = self._planned[index]
            if not self._space.contains(point):  # a default beyond its domain is tried, but teaches nothing
                self._open[uid] = None
                return point
            self._study.enqueue_trial(point)
        elif recorded is not None and self._takes_over and index >= VERIFIED:
            return self._take_over(uid, recorded)
        if self._chosen.stateless:
            seed = stable_seed(self._chosen.seed, index) % 2**32
            self._study.sampler = make_sampler(self._chosen, seed, self._distributions)
        trial = self._study.ask(self._distributions)
        self._open[uid] = trial.number
        self._size += 1
        return {name: trial.params[name] for name in self._distributions}

    def _take_over(self, uid: str, point: Point) -> Point:
        self._open[uid] = self._add(create_trial(
            state=TrialState.RUNNING, params=point, distributions=self._distributions
        ))
        return point

    def observe(self, point: Point, score: float | None, flops: int, steps: Iterable[tuple[int, float]]) -> None:
        """Something that was measured elsewhere; without a score, a trial that was stopped."""
        if self._chosen.two_objectives and score is None:
            return
        values = None if score is None else self._values(score, flops)
        self._add(create_trial(
            state=TrialState.PRUNED if values is None else TrialState.COMPLETE, values=values, params=point,
            distributions=self._distributions,
            intermediate_values={} if self._chosen.two_objectives else dict(steps),
            system_attrs={GENERATION: 0} if self._chosen.two_objectives else {},
        ))
        self._ended += 1

    def report(self, uid: str, step: int, score: float) -> None:
        if uid in self._hidden:
            if (trial := self._hidden[uid]) is not None and not self._chosen.two_objectives:
                trial.intermediate_values[step] = score
            return
        number = self._open[uid]
        if number is not None and not self._chosen.two_objectives:  # Optuna takes reports of one objective only
            self._storage.set_trial_intermediate_value(self._id(number), step, score)

    def end(self, uid: str, status: Status, score: float | None, flops: int) -> None:
        """Tell how a trial ended. A trial stopped early is PRUNED (its last report counts), never COMPLETE."""
        if uid in self._hidden:
            return self._end_hidden(self._hidden.pop(uid), status, score, flops)
        number, state = self._open.pop(uid), STATES[status]
        if number is not None:
            self._ended += 1
            whole = state is TrialState.COMPLETE and score is not None
            self._study.tell(number, self._values(score, flops) if whole and score is not None else None, state=state)

    def observed(self) -> Mapping[int, tuple[str, list[float] | None]]:
        """Trial number -> (state, values), as Optuna holds them."""
        return {t.number: (t.state.name, t.values) for t in self._study.get_trials(deepcopy=False)}

    def _values(self, score: float, flops: int) -> list[float]:
        return [score, float(flops)] if self._chosen.two_objectives else [score]

    def _begin_study(self) -> None:
        self._storage = InMemoryStorage()
        directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][: 1 + self._chosen.two_objectives]
        self._study = optuna.create_study(storage=self._storage, directions=directions, sampler=self._sampler)
        self._size = self._ended = 0

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _add(self, trial: FrozenTrial) -> int:
        """The number that a trial gets."""
        self._study.add_trial(trial)
        self._size += 1
        return self._size - 1

    def _hide(self) -> None:
        """Take the running trial that was asked first out of the sampler's sight, until it ends."""
        uid = next(iter(self._open))
        number = self._open.pop(uid)
        self._hidden[uid] = None if number is None else self._storage.get_trial(self._id(number))
        if number is not None:
            self._study.tell(number, state=TrialState.FAIL)

    def _end_hidden(self, trial: FrozenTrial | None, status: Status, score: float | None, flops: int) -> None:
        """It is observed as if it had been asked just now."""
        if trial is not None and status is not Status.FAILED:
            state = STATES[status]
            whole = state is TrialState.COMPLETE and score is not None
            self._add(create_trial(
                state=state, values=self._values(score, flops) if whole and score is not None else None,
                params=trial.params,
                distributions=self._distributions, intermediate_values=trial.intermediate_values,
            ))
            self._ended += 1

    def _thin(self) -> None:
        """Go on in a new study that holds the running trials, the best and the latest: half a window of ended ones.

        What samplers write on trials and studies for themselves is taken along; but NSGA-II, whose notes name trials,
        begins again with the elite as its first generation, which is what it would have chosen parents from. Of two
        objectives the best are front after front.
        """
        trials, old = self._study.get_trials(deepcopy=False), self._storage
        study = old.get_study_id_from_name(self._study.study_name)
        notes = old.get_study_system_attrs(study)
        if self._chosen.name is SamplerName.NSGA_II:
            kept, notes = elite(trials, self._chosen.population), {}
        else:
            kept = kept_trials(trials, self._chosen.window // 2)
        self._begin_study()
        numbers = {trial.number: self._add(trial) for trial in kept}
        # Running ones do not count: a thousand of them would fill the window, and every proposal would thin it again.
        self._ended = sum(trial.state is not TrialState.RUNNING for trial in kept)
        new = self._storage.get_study_id_from_name(self._study.study_name)
        for name, value in notes.items():
            self._storage.set_study_system_attr(new, name, value)
        self._open = {uid: None if number is None else numbers[number] for uid, number in self._open.items()}
        self._thinned = True


def kept_trials(trials: Sequence[FrozenTrial], room: int) -> list[FrozenTrial]:
    """The running trials, and `room` ended ones, one in `BEST` for its value, the others the latest; in their order."""
    running = [t for t in trials if t.state is TrialState.RUNNING]
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    whole = [t for t in ended if t.state is TrialState.COMPLETE]
    chosen = {t.number for t in best(whole, max(1, room // BEST))}
    latest = [t for t in reversed(ended) if t.number not in chosen]
    chosen |= {t.number for t in (*running, *latest[: max(0, room - len(chosen))])}
    return [t for t in trials if t.number in chosen]


def best(whole: Sequence[FrozenTrial], room: int) -> list[FrozenTrial]:
    """Of complete trials those of the highest values; of two objectives front after front until there is no room."""
    left, chosen = list(whole), list[FrozenTrial]()
    while left and len(chosen) < room:
        front = pareto((t.values[0], t.values[1] if len(t.values) > 1 else 0.0, t) for t in left)
        chosen += front[-(room - len(chosen)):]  # the dearest and best ones, where not all find room
        taken = {t.number for t in front}
        left = [t for t in left if t.number not in taken]
    return chosen


def elite(trials: Sequence[FrozenTrial], room: int) -> list[FrozenTrial]:
    """The running trials, and the best of the complete ones; all of generation 0."""
    chosen = best([t for t in trials if t.state is TrialState.COMPLETE], room)
    chosen += [t for t in trials if t.state is TrialState.RUNNING]
    for trial in chosen:
        trial.system_attrs = {GENERATION: 0}
    return sorted(chosen, key=lambda t: t.number)


def _distinct(points: Sequence[Point]) -> list[Point]:
    """Without repetitions; 1 and True differ."""
    seen: dict[str, Point] = {}
    for point in points:
        seen.setdefault(repr(sorted(point.items())), point)
    return list(seen.values())

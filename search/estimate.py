"""What a comparison would cost, before anything starts: timed probes, the real tune stage on made-up scores."""

from __future__ import annotations

import random
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.makespan import Job, makespan
from search.method_spec import MethodSpec
from search.plan import unit_failed
from search.settings import SamplerName
from search.spending import SECONDS_PER_HOUR, devices_of, tally_of
from search.study import Comparison
from search.timed_making import MakingEstimate, TimedBy, estimate_makings
from search.timed_probe import Measured, measure
from search.tuning import Verdict
from search.tunings import tuning_of
from search.wanted import wanted_of
from search.words import on_one_line
from trainables.evolving import EvolvingConfig
from trainables.problems.spec import ProblemSpec

START_SECONDS = 10.0  # Ray, its first workers with their imports, and the report at the end; measured on two cores
Measure = Callable[[Comparison, ProblemSpec, str, dict[str, Any], Path], Measured]


@dataclass(frozen=True, slots=True)
class StudyEstimate:
    """One (problem, method).

    Args:
        failed: why nothing can be said; then everything else is 0.
        trials: of the tune stage, about; `trials_at_most` holds whatever the scores turn out to be.
        flops: probe, tuning and confirm, evaluation included; `run_seconds` likewise.
    """

    problem: str
    method: str
    trials_at_most: int = 0
    trials: int = 0
    confirm_trials: int = 0
    training_flops: float = 0.0
    training_seconds: float = 0.0
    flops: float = 0.0
    run_seconds: float = 0.0
    peak_host_bytes: int | None = None
    peak_device_bytes: int | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A whole sweep at so many slots.

    Args:
        device_seconds: seconds that trials hold a device (a GPU where they ask for one, else a CPU), times how many.
        wall_seconds: from the start to the report.
        limits: those that would stop the sweep, in words.
    """

    studies: tuple[StudyEstimate, ...]
    slots: int
    trials: int
    flops: float
    device_seconds: float
    wall_seconds: float
    money: float
    limits: tuple[str, ...]
    artefacts: tuple[MakingEstimate, ...] = ()


def estimate(
    comparison: Comparison, slots: int, cache: Path, measured_by: Measure = measure, found: Container[str] = (),
    timed_by: TimedBy | None = None,
) -> Estimate:
    """Probe every artefact and every (problem, method), and add up.

    Args:
        slots: trials at a time.
        cache: prepared data.
        measured_by: the probe.
        found: keys of the artefacts that are there already.
        timed_by: the probe of an artefact.
    """
    wanted = wanted_of(comparison)
    makings = {one.key: one for one in estimate_makings(comparison, wanted, cache, found, timed_by)}
    known: dict[str, Measured | str] = {}

    def probed(problem: ProblemSpec, name: str, settings: dict[str, Any], network: str = "") -> Measured | str:
        key = f"{problem.label} {name} {network} {sorted(settings.items())}"
        of_row = comparison.model_copy(update={"network": network or comparison.network})
        if key not in known:
            try:
                known[key] = measured_by(of_row, problem, name, settings, cache)
            except Exception as error:  # whatever a method raises is what its trials would fail with
                known[key] = on_one_line(f"{type(error).__name__}: {str(error) or 'no message'}")
        return known[key]

    jobs = {one.job: Job(one.seconds) for one in makings.values()}
    studies = []
    unit_trials, unit_flops = 0, 0.0
    plain = comparison.unit()
    for problem in comparison.problems:
        unit = probed(problem, "plain", plain)
        if isinstance(unit, Measured):
            slices = comparison.slices
            jobs[f"{problem.label}/unit"] = Job(unit.trial_seconds(slices, slices))
            unit_trials, unit_flops = unit_trials + 1, unit_flops + unit.trial_flops(slices, slices)
        for method in comparison.methods:
            settings = method.config_class().model_validate(method.settings).model_dump(mode="json")
            own = probed(problem, method.name, settings, method.network)
            needed = [makings[key] for key in wanted.needs.get((problem.label, method.key), {}).values()]
            failed = next((one.failed for one in needed if one.failed), None)
            failed = failed or (unit_failed(unit) if isinstance(unit, str) else own if isinstance(own, str) else None)
            base = probed(problem, "plain", plain, method.network) if method.network else unit
            if failed is None and isinstance(unit, Measured) and isinstance(own, Measured):
                again = base if isinstance(base, Measured) else unit
                study, more = _study(comparison, problem.label, method, unit, own, again)
                probe = f"{problem.label}/{method.key}/probe"
                if probe in more:
                    more[probe] = replace(more[probe], after=tuple(one.job for one in needed))
                jobs |= more
            else:
                study = StudyEstimate(problem.label, method.key, failed=failed)
            studies.append(study)
    run_seconds = sum(job.seconds for job in jobs.values())
    device_seconds = run_seconds * devices_of(comparison.resources)
    totals: dict[str, float] = {
        "wall_seconds": START_SECONDS + makespan(jobs, slots),
        "flops": unit_flops + sum(one.flops for one in makings.values()) + sum(study.flops for study in studies),
        "device_seconds": device_seconds,
        "money": device_seconds / SECONDS_PER_HOUR * comparison.price_per_device_hour,
        "trials": unit_trials + sum(not one.cached for one in makings.values())
        + sum(1 + s.trials + s.confirm_trials for s in studies if s.failed is None),
    }
    return Estimate(
        tuple(studies), slots, int(totals["trials"]), totals["flops"], device_seconds, totals["wall_seconds"],
        totals["money"], _limits(comparison, totals), tuple(makings.values()),
    )


def _study(
    comparison: Comparison, problem: str, method: MethodSpec, unit: Measured, own: Measured, again: Measured
) -> tuple[StudyEstimate, dict[str, Job]]:
    """What one study costs, and its jobs: probe, lanes of tuning, confirm trainings.

    Args:
        again: plain training of the row's network, as what was found is trained.
    """
    slices, name = comparison.slices, f"{problem}/{method.key}"
    reports, whole = _tuned(comparison, problem, method, unit.full_flops, own)
    if not whole:
        failed = f"one training costs {own.full_flops / unit.full_flops:.1f} plain trainings, more than the budget"
        if reports:
            failed = "the row's own limits end its tuning before one training is whole"
        return StudyEstimate(problem, method.key, failed=failed), {}
    tune_seconds = sum(own.trial_seconds(n, slices) for n in reports) + whole * own.final_seconds
    tune_flops = sum(own.trial_flops(n, slices) for n in reports) + whole * own.final_flops
    rerun = own.trial_seconds(slices, slices) + own.final_seconds + own.test_seconds
    replay = again.trial_seconds(slices, slices) + own.final_seconds + own.test_seconds
    probe_seconds = own.start_seconds + 0.1 * own.work_seconds
    lanes = comparison.parallel_trials or 1
    jobs = {f"{name}/probe": Job(probe_seconds)}
    for lane in range(lanes):
        jobs[f"{name}/tune-{lane}"] = Job(tune_seconds / lanes, (f"{problem}/unit", f"{name}/probe"))
    tuned = tuple(f"{name}/tune-{lane}" for lane in range(lanes))
    trainings = comparison.replays if own.finds else 0
    replays = comparison.confirm_seeds * trainings
    for seed in range(comparison.confirm_seeds):
        jobs[f"{name}/rerun-{seed}"] = Job(rerun, tuned)
        for training in range(trainings):
            jobs[f"{name}/replay-{seed}-{training}"] = Job(replay, (f"{name}/rerun-{seed}",))
    ends = own.final_flops + own.test_flops
    flops = tune_flops + 0.1 * own.full_flops + comparison.confirm_seeds * (own.trial_flops(slices, slices) + ends)
    flops += replays * (again.trial_flops(slices, slices) + ends)
    known = issubclass(method.config_class(), EvolvingConfig) or not method.space().names
    at_most = len(reports) if known else _trials_at_most(comparison, method, unit.full_flops, own.full_flops)
    return StudyEstimate(
        problem, method.key, at_most, len(reports),
        comparison.confirm_seeds + replays, own.full_flops, own.trial_seconds(slices, slices), flops,
        sum(job.seconds for job in jobs.values()), own.peak_host_bytes, own.peak_device_bytes,
    ), jobs


def _tuned(
    comparison: Comparison, problem: str, method: MethodSpec, unit_flops: int, own: Measured
) -> tuple[list[float], int]:
    """What every tune trial does, in slices of a whole training, and how many reach their horizon.

    From the real tune stage on made-up scores, with the row's own limits.
    """
    if own.full_flops > comparison.budget * unit_flops:
        return [], 0
    cheap = comparison.model_copy(update={"sampler": SamplerName.RANDOM, "warm_start": ()})
    tuning, noise = tuning_of(cheap, problem, method, unit_flops, own.full_flops), random.Random(0)
    spent, reports, whole = tally_of(comparison), list[float](), 0
    while tuning.may_ask and not spent.full(method.limits):
        trial, level = tuning.ask(), noise.gauss(0.0, 1.0)
        spent.ask(trial.uid)
        slices = max(1, round(comparison.slices * trial.share))
        for index in range(slices):
            share = (index + 1) / slices
            done, ready = index + 1 == slices, share > own.ready_share
            score = level + noise.gauss(0.0, 0.5)  # ranks mostly keep from one report to the next
            flops = round(share * trial.share * own.full_flops)
            made = share * trial.share * comparison.slices
            spent.take(trial.uid, index, {
                "cost/flops": own.trial_flops(made, comparison.slices),
                "cost/wall_seconds": own.trial_seconds(made, comparison.slices),
            })
            if (reached := spent.exceeded(method.limits)) is not None:
                tuning.close(reached, cut=True)
            if tuning.report(trial.uid, index, flops, score, ready or done, done) is Verdict.STOP:
                break
        spent.end(trial.uid)
        reports.append(made)
        # What is bred ends, and is measured, with its last generation.
        whole += done and (trial.generation is None or trial.generation + 1 == round(1 / trial.share))
    return reports, whole


def _trials_at_most(comparison: Comparison, method: MethodSpec, unit_flops: int, full_flops: int) -> int:
    """If all but the first stopped at the first rung, or at the first report where that comes later."""
    share = 1.0 if comparison.asha is None else max(comparison.asha.grace, 1 / comparison.slices)
    budget = comparison.budget * unit_flops - full_flops
    most = comparison.max_trials if method.limits.trials is None else min(comparison.max_trials, method.limits.trials)
    return min(most, 1 + max(0, -int(-budget // (share * full_flops))))


def _limits(comparison: Comparison, totals: dict[str, float]) -> tuple[str, ...]:
    limits = comparison.limits.model_dump()
    return tuple(
        f"{name}: about {totals[name]:.3g} are needed, {limit:.4g} allowed"
        for name, limit in limits.items() if limit is not None and totals[name] > limit
    )

"""`compare --dry-run`: what would run, where it would go, and about what it would cost. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from rich.table import Table

from search import cluster, warm_start
from search import store as stores
from search import sweep as sweeps
from search.cluster import Connection
from search.estimate import Estimate, estimate
from search.printing import console as a_console
from search.printing import print_json
from search.spending import SECONDS_PER_HOUR
from search.study import Comparison, parallel_for
from search.sweep import Sweep
from search.timed_making import MakingEstimate
from search.wanted import Wanted, check_sources, wanted_of
from search.words import duration
from tracking.errors import UserError
from trainables.artefact_store import ArtefactError, ArtefactStore, DamagedError

STAGES = ("unit", "probe", "tune", "confirm")
SAID = (
    "This is an estimate: FLOPs per training are exact, seconds are those of a few slices in this process, the number "
    "of trials comes from the real tune stage on made-up scores."
)


def dry_run(comparison: Comparison, made: Sweep, experiment: str, connection: Connection, as_json: bool) -> None:
    """Print the plan and the estimate.

    Args:
        made: where the sweep would be; nothing is written there.

    Raises:
        UserError: a sweep of that name exists, the data are bad, a row does not fit a problem, or a trial no node.
    """
    if made.exists():
        raise UserError("a new sweep needs a name of its own", made.place, "choose another --name")
    slots = slots_of(comparison, connection)
    if comparison.parallel_trials is None:
        studies = len(comparison.problems) * len(comparison.methods)
        comparison = comparison.model_copy(update={"parallel_trials": parallel_for(slots, studies)})
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))  # as in a worker
    for problem in comparison.problems:
        view = problem.build(comparison.seed, 0, sweeps.cache_folder()).view()  # bad data are told here
        for method in comparison.methods:
            method.fits(view, comparison.network)
    wanted = wanted_of(comparison)
    check_sources(wanted, comparison.making_workers)
    warm_start.gather(comparison, made.place.parent)
    plan = _plan(comparison, made, stores.chosen(made.place.parent, experiment)[0].uri)
    whole, damaged = _found(wanted, made)
    found = estimate(comparison, slots, sweeps.cache_folder(), found=whole)
    found = replace(found, artefacts=tuple(replace(one, damaged=one.key in damaged) for one in found.artefacts))
    if as_json:
        print_json({"plan": plan, "estimate": {**asdict(found), "is_estimate": True}})
    else:
        _show(plan, found)


def slots_of(comparison: Comparison, connection: Connection | None) -> int:
    """Of the cluster where one is named, else of this machine as Ray would count it."""
    connection = connection or Connection()
    if connection.address is not None or os.environ.get("RAY_ADDRESS"):
        cluster.start(connection)
        return cluster.slots(comparison.resources, connection.wait_seconds)
    cores = connection.cpus or len(os.sched_getaffinity(0))
    has = {"CPU": float(cores), "GPU": float(torch.cuda.device_count())}
    fits = min(int(has.get(name, 0.0) / amount) for name, amount in comparison.resources.asked().items())
    if fits < 1:
        raise UserError(
            "one node must have what one trial asks for",
            f"a trial asks for {comparison.resources.asked()}; this machine has {has}",
            "ask for less with --set resources.cpus=... or resources.gpus=..., or name a cluster's --address",
        )
    return fits


def _found(wanted: Wanted, made: Sweep) -> tuple[set[str], set[str]]:
    """The artefacts that are in the store already: those that are whole, and those that are damaged."""
    store, whole, damaged = ArtefactStore.beside(made.place), set[str](), set[str]()
    for key in wanted.specs:
        try:
            store.manifest(key)
            whole.add(key)
        except DamagedError:
            damaged.add(key)
        except ArtefactError:
            pass
    return whole, damaged


def _plan(comparison: Comparison, made: Sweep, tracking_uri: str) -> dict[str, Any]:
    return {
        "sweep": str(made.place), "tracking_uri": tracking_uri, "cache": str(sweeps.cache_folder()),
        "problems": [problem.label for problem in comparison.problems],
        "methods": [method.key for method in comparison.methods], "stages": list(STAGES) if comparison.methods else [],
        "budget_plain_trainings": comparison.budget, "confirm_seeds": comparison.confirm_seeds,
        "sampler": str(comparison.sampler), "asha": comparison.asha is not None,
        "parallel_trials": comparison.parallel_trials, "max_trials": comparison.max_trials,
        "resources": comparison.resources.asked(), "device": str(comparison.device),
        "limits": comparison.limits.model_dump(exclude_none=True),
        "price_per_device_hour": comparison.price_per_device_hour,
    }


def _show(plan: Mapping[str, Any], found: Estimate) -> None:
    console = a_console()
    asha = "ASHA" if plan["asha"] else "no early stopping"
    asked = ", ".join(f"{amount:g} {name}" for name, amount in plan["resources"].items())
    studies = (
        f"{len(found.studies)} studies, {' -> '.join(plan['stages'])}; {plan['sampler']}, {asha}; budget "
        f"{plan['budget_plain_trainings']:g} plain trainings each; {plan['confirm_seeds']} confirm seeds"
    )
    lines = {
        "would run": studies if found.studies else "nothing but what is trained once",
        "slots": f"{found.slots}, each {asked}; {plan['parallel_trials']} trials in flight per study",
        "sweep": plan["sweep"], "MLflow": plan["tracking_uri"], "data": plan["cache"],
    }
    for name, text in lines.items():
        console.print(f"{name}: {text}", highlight=False, markup=False, soft_wrap=True)
    for one in found.artefacts:
        console.print(f"trained once: {_making(one)}", highlight=False, markup=False, soft_wrap=True)
    if found.studies:
        console.print(_table(found))
    for study in found.studies:
        if study.failed is not None:  # whole: a cell has no room for it
            said = f"{study.problem}/{study.method} would fail: {study.failed}"
            console.print(said, style="bold", highlight=False, markup=False, soft_wrap=True)
    price = f", {found.money:.4g} in money" if plan["price_per_device_hour"] else ""
    hours = found.device_seconds / SECONDS_PER_HOUR
    console.print(
        f"in all about: {found.trials} trials, {found.flops:.3g} FLOPs, {hours:.3g} device-hours, "
        f"{duration(found.wall_seconds)} at {found.slots} slots{price}", highlight=False, soft_wrap=True,
    )
    for limit in found.limits:
        console.print(f"a limit would stop it: {limit}", style="bold", highlight=False)
    console.print(SAID, highlight=False)


def _making(one: MakingEstimate) -> str:
    if one.failed is not None:
        return f"{one.label} would fail: {one.failed}"
    cost = "is in the store already" if one.cached else f"{one.flops:.3g} FLOPs, {duration(one.seconds)}"
    again = "is in the store, but damaged: would be made again, " if one.damaged else ""
    return f"{one.label}, {again}{cost}; key {one.key}"


def _table(found: Estimate) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("problem", "method"):
        table.add_column(column)
    for column in ("tune trials", "at most", "confirm", "one training", "", "in all", "", "memory"):
        table.add_column(column, justify="right")
    for study in found.studies:
        if study.failed is not None:
            table.add_row(study.problem, study.method, "would fail")
            continue
        peak = "-" if study.peak_host_bytes is None else f"{study.peak_host_bytes / 2**20:.0f} MiB"
        table.add_row(
            study.problem, study.method, f"~{study.trials}", str(study.trials_at_most), str(study.confirm_trials),
            f"{study.training_flops:.3g} FLOPs", f"{study.training_seconds:.1f} s", f"{study.flops:.3g} FLOPs",
            duration(study.run_seconds), peak,
        )
    return table

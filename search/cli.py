"""`invsearch ...`: thin, no logic. Ray, MLflow and torch load only in the commands that need them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracking.errors import StartError, StorageError, UserError

if TYPE_CHECKING:
    from search.launch import Options

EXIT_CODES = (
    "Exit codes: 0 done; 1 error; 2 the input was wrong; 3 finished with failed trials; 75 a limit is reached, "
    "`resume` goes on; 130 and 143 interrupted, `resume` goes on."
)
app = typer.Typer(
    help="Which invariances does my task want, which way of finding them is best, and what did it cost?",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Root = Annotated[
    str | None, typer.Option(help="Where sweeps live: a path or a URI [default: INVSEARCH_ROOT, else ./sweeps].")
]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster; without it, this machine.")]
Cpus = Annotated[int | None, typer.Option(min=1, help="CPU slots of a local run [default: all cores].")]
Experiment = Annotated[str | None, typer.Option(help="MLflow experiment [default: the sweep's name].")]
Modules = Annotated[list[Path] | None, typer.Option("--module", help="A file with your own methods or problems.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a field: dotted.key=value.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
WorkingDir = Annotated[Path | None, typer.Option(help="Ship this source tree of invsearch to the cluster's workers.")]
Wheel = Annotated[Path | None, typer.Option(help="Ship this wheel of invsearch to the cluster's workers.")]
Wait = Annotated[float, typer.Option("--wait-for-resources", help="Seconds that nodes may take to be started.")]
Dashboard = Annotated[bool, typer.Option("--dashboard", help="Ray's dashboard for a local run, on loopback.")]

OrResume = Annotated[bool, typer.Option("--or-resume", help="Where a sweep of that name exists, go on with it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would run and what it would cost.")]
DryJson = Annotated[bool, typer.Option("--json", help="With --dry-run: one JSON object.")]


def main() -> None:
    """Run a command; a mistake of the user's ends with one message and exit code 2, a machine that fails with 1."""
    try:
        _run()
    except SystemExit as end:
        if "ray" in sys.modules:
            from search.pulse import leave_where_lost

            leave_where_lost(end.code)
        raise


def _run() -> None:
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (StartError, StorageError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@app.command()
def compare(
    source: Annotated[str, typer.Argument(metavar="[RECIPE|FILE.yaml]")] = "digits",
    name: Annotated[str | None, typer.Option(help="Of the sweep [default: recipe and time].")] = None,
    sets: Sets = None,
    modules: Modules = None,
    root: Root = None,
    experiment: Experiment = None,
    address: Address = None,
    cpus: Cpus = None,
    parallel_trials: Annotated[int | None, typer.Option(min=1, help="Trials in flight per study.")] = None,
    dashboard: Dashboard = False,
    working_dir: WorkingDir = None,
    wheel: Wheel = None,
    wait: Wait = 0.0,
    or_resume: OrResume = False,
    dry_run: DryRun = False,
    as_json: DryJson = False,
) -> None:
    """Launch a sweep: tune every method on every problem, confirm on fresh seeds, report."""
    from search import launch

    overrides = list(sets or []) + ([] if parallel_trials is None else [f"parallel_trials={parallel_trials}"])
    options = _options(root, experiment, address, cpus, dashboard, working_dir, wheel, wait)
    _json_of_an_estimate(as_json, dry_run)
    if dry_run:
        launch.estimate(source, name, overrides, modules or [], options, as_json)
        return
    raise typer.Exit(launch.compare(source, name, overrides, modules or [], options, or_resume))


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(help="Your images: FOLDER/CLASS/*, or FOLDER/train and FOLDER/test.")],
    minutes: Annotated[float, typer.Option(help="About how long it may take.")] = 5.0,
    size: Annotated[int, typer.Option(min=8, max=1024, help="Side of the images as they are read.")] = 32,
    grey: Annotated[bool, typer.Option("--grey", help="Read them as one channel.")] = False,
    name: Annotated[str | None, typer.Option(help="Of the sweep; one that exists goes on.")] = None,
    root: Root = None,
    experiment: Experiment = None,
    address: Address = None,
    cpus: Cpus = None,
) -> None:
    """Which invariances do my own images want? A ranked list, the best method, transforms to paste, a model card."""
    from search.fit import check_minutes
    from search.fit import fit as run

    check_minutes(minutes)
    options = _options(root, experiment, address, cpus, False, None, None, 0.0)
    raise typer.Exit(run(folder, minutes, {"size": size, "grey": grey}, name, options))


@app.command()
def pretrain(
    source: Annotated[str, typer.Argument(metavar="[RECIPE|FILE.yaml]")] = "digits",
    name: Annotated[str | None, typer.Option(help="Of the sweep [default: `pretrain`, recipe and time].")] = None,
    sets: Sets = None,
    modules: Modules = None,
    root: Root = None,
    experiment: Experiment = None,
    address: Address = None,
    cpus: Cpus = None,
    dashboard: Dashboard = False,
    working_dir: WorkingDir = None,
    wheel: Wheel = None,
    wait: Wait = 0.0,
    or_resume: OrResume = False,
    dry_run: DryRun = False,
    as_json: DryJson = False,
) -> None:
    """Train once what many comparisons use: an artefact, kept beside the sweeps and found again by its content."""
    from search import launch

    options, kind = _options(root, experiment, address, cpus, dashboard, working_dir, wheel, wait), launch.PRETRAINING
    _json_of_an_estimate(as_json, dry_run)
    if dry_run:
        launch.estimate(source, name, sets or [], modules or [], options, as_json, kind)
        return
    raise typer.Exit(launch.compare(source, name, sets or [], modules or [], options, or_resume, kind))


@app.command()
def resume(
    name: str,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Only limits, price, retries, hang_seconds.")] = None,
    allow_drift: Annotated[bool, typer.Option("--allow-drift", help="Go on with other code or other data.")] = False,
    root: Root = None,
    experiment: Experiment = None,
    address: Address = None,
    cpus: Cpus = None,
    dashboard: Dashboard = False,
    working_dir: WorkingDir = None,
    wheel: Wheel = None,
    wait: Wait = 0.0,
) -> None:
    """Go on with a sweep after Ctrl-C, a crash, a reboot or a limit; NAME may be a path or a URI."""
    from search import fit

    options = _options(root, experiment, address, cpus, dashboard, working_dir, wheel, wait)
    raise typer.Exit(fit.resume(name, options, sets or [], allow_drift))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument()] = None,
    root: Root = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds until it ends.")] = False,
) -> None:
    """Trials, best so far, cost so far, time left; without a name, all sweeps."""
    from search import looking

    looking.status(name, root, as_json, watch)


@app.command()
def report(name: str, root: Root = None, as_json: Json = False) -> None:
    """Make tables, figure and HTML of a sweep again, finished or not."""
    from search import looking

    looking.report(name, root, as_json)


@app.command()
def sync(name: str, root: Root = None, experiment: Experiment = None) -> None:
    """Write to MLflow what it has missed of a sweep that is not running."""
    from search.sync import sync as run

    raise typer.Exit(1 if run(name, root, experiment) else 0)


@app.command()
def ui(
    root: Root = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine alone.")] = 5000,
) -> None:
    """Open MLflow on the store of the sweeps: every run, curve, figure and table, side by side."""
    from search.ui import show

    raise typer.Exit(show(root, port))


@app.command()
def export(
    name: str,
    optuna: Annotated[str, typer.Option(metavar="FILE", help="sqlite:///x.db or x.db; or x.log, Optuna's journal.")],
    root: Root = None,
) -> None:
    """Write the tuning of a sweep, finished or not, as Optuna studies: for optuna-dashboard and Optuna's analyses."""
    from search.optuna_export import export_sweep

    export_sweep(name, root, optuna)


@app.command()
def verify(name: str, root: Root = None) -> None:
    """Do the decisions in a sweep's journal follow from what was reported, with this version of the code?"""
    from search.verify import verify_sweep

    raise typer.Exit(verify_sweep(name, root))


@app.command()
def methods(modules: Modules = None, as_json: Json = False) -> None:
    """The methods there are, with one line each."""
    from search import listing

    listing.methods(modules or [], as_json)


@app.command()
def problems(modules: Modules = None, as_json: Json = False) -> None:
    """The sources of problems and the wrappers around them, with one line each."""
    from search import listing

    listing.problems(modules or [], as_json)


@app.command()
def recipes(
    show: Annotated[str | None, typer.Option(help="Print this recipe as YAML, to start a file from.")] = None,
    pretrain: Annotated[bool, typer.Option("--pretrain", help="Those of `invsearch pretrain`.")] = False,
    as_json: Json = False,
) -> None:
    """Complete comparisons by name, with one line each."""
    from search import listing

    listing.recipes(show, as_json, pretrain)


@app.command()
def doctor(root: Root = None, address: Address = None) -> None:
    """Is this machine or cluster ready, and if not, why?"""
    from search.doctor import examine

    raise typer.Exit(examine(root, address))


@app.command()
def check(file: Path) -> None:
    """Hold the methods and problems of your own file to the contract that the house's own are held to."""
    from search.checking import check_file

    raise typer.Exit(check_file(file))


def _json_of_an_estimate(as_json: bool, dry_run: bool) -> None:
    if as_json and not dry_run:
        raise UserError("--json is the form of an estimate", "--json without --dry-run",
                        "add --dry-run, or read `status NAME --json` and `report NAME --json`")


def _options(
    root: str | None, experiment: str | None, address: str | None, cpus: int | None, dashboard: bool,
    working_dir: Path | None, wheel: Path | None, wait: float,
) -> Options:
    from search.connection import Connection
    from search.launch import Options

    connection = Connection(
        address=address, cpus=cpus, dashboard=dashboard, working_dir=working_dir, wheel=wheel, wait_seconds=wait
    )
    return Options(root=root, experiment=experiment, connection=connection)


if __name__ == "__main__":
    main()

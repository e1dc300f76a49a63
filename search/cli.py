"""`invsearch ...`: thin, no logic. Ray, MLflow and torch load only in the commands that need them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracking.errors import StorageError, UserError

if TYPE_CHECKING:
    from search.launch import Options

app = typer.Typer(
    help="Which invariances does my task want, which way of finding them is best, and what did it cost?",
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


def main() -> None:
    """Run a command; a mistake of the user's ends with one message and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except StorageError as error:
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
) -> None:
    """Launch a sweep: tune every method on every problem, confirm on fresh seeds, report."""
    from search import launch

    overrides = list(sets or []) + ([] if parallel_trials is None else [f"parallel_trials={parallel_trials}"])
    options = _options(root, experiment, address, cpus)
    raise typer.Exit(launch.compare(source, name, overrides, modules or [], options))


@app.command()
def resume(
    name: str, root: Root = None, experiment: Experiment = None, address: Address = None, cpus: Cpus = None
) -> None:
    """Go on with a sweep after Ctrl-C, a crash or a reboot."""
    from search import launch

    raise typer.Exit(launch.resume(name, _options(root, experiment, address, cpus)))


@app.command()
def status(name: Annotated[str | None, typer.Argument()] = None, root: Root = None) -> None:
    """Trials, best so far, cost so far, time left; without a name, all sweeps."""
    from search import launch

    launch.status(name, root)


@app.command()
def report(name: str, root: Root = None) -> None:
    """Make tables, figure and HTML of a sweep again, finished or not."""
    from search import launch

    launch.report(name, root)


@app.command()
def methods(modules: Modules = None) -> None:
    """The methods there are, with one line each."""
    from search import listing

    listing.methods(modules or [])


@app.command()
def problems(modules: Modules = None) -> None:
    """The sources of problems and the wrappers around them, with one line each."""
    from search import listing

    listing.problems(modules or [])


@app.command()
def recipes(
    show: Annotated[str | None, typer.Option(help="Print this recipe as YAML, to start a file from.")] = None,
) -> None:
    """Complete comparisons by name, with one line each."""
    from search import listing

    listing.recipes(show)


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


def _options(root: str | None, experiment: str | None, address: str | None, cpus: int | None) -> Options:
    from search.cluster import Connection
    from search.launch import Options

    return Options(root=root, experiment=experiment, connection=Connection(address=address, cpus=cpus))


if __name__ == "__main__":
    main()

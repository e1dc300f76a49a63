"""The import arrows of the house, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("search", "trainables", "spaces", "tracking")
MAY_IMPORT = {
    "search": {"search", "trainables", "spaces", "tracking"},
    "trainables": {"trainables", "spaces", "tracking"},
    "spaces": {"spaces"},
    "tracking": {"tracking"},
}
# Foreign frameworks live behind few files.
OWNERS = {
    "ray": ("search/", "trainables/trial.py"),
    "mlflow": (
        "tracking/mlflow_writer.py", "tracking/mlflow_send.py", "tracking/mlflow_results.py",
        "tracking/mlflow_network.py", "tracking/read.py",
    ),
    "optuna": ("search/", "spaces/distributions.py", "trainables/modules/parzen.py"),
}


def imports(source: str) -> Iterator[str]:
    """Dotted names that a source file imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the arrows"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def broken_arrows(path: str, source: str) -> list[str]:
    """The rules that a file at `path` (relative to the root) breaks."""
    package = path.split("/")[0]
    broken = []
    for name in set(imports(source)):
        top = name.split(".")[0]
        if top in PACKAGES and top not in MAY_IMPORT[package]:
            broken.append(f"{path}: {package} may not import {name}")
        if top in OWNERS and not path.startswith(OWNERS[top]):
            broken.append(f"{path}: {top} belongs to {OWNERS[top]}")
        if path.startswith("trainables/methods/") and is_other_method(path, name):
            broken.append(f"{path}: methods never import each other, but {name}")
    return broken


def is_other_method(path: str, name: str) -> bool:
    parts = name.split(".")
    inside = parts[:2] == ["trainables", "methods"] and len(parts) > 2
    return inside and not path.endswith("__init__.py")


def files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path: Path) -> None:
    assert broken_arrows(path.relative_to(ROOT).as_posix(), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("spaces/domain.py", "from tracking.cost import Meter"),
        ("tracking/cost.py", "import spaces.domain"),
        ("trainables/harness.py", "def f():\n    import search.cli"),
        ("trainables/harness.py", "import ray"),
        ("trainables/methods/plain.py", "from trainables.methods import augnet"),
        ("trainables/methods/plain.py", "from trainables.methods.augnet import Config"),
        ("search/runner.py", "import mlflow"),
        ("tracking/read.py", "from optuna import Study"),
    ],
)
def test_the_check_rejects_a_wrong_arrow(path: str, source: str) -> None:
    assert broken_arrows(path, source)


def test_the_four_names_resolve_here_from_elsewhere(tmp_path: Path) -> None:
    """In a fresh interpreter in another folder: pytest itself puts the root on the path and would hide a shadow."""
    code = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {PACKAGES}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    assert [Path(name).parent for name in done.stdout.split()] == [ROOT / package for package in PACKAGES]

"""Where a result comes from, in a checkout and outside of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tracking import provenance
from tracking.provenance import collect


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "a")
    found = collect(tmp_path)
    assert (found["commit"], found["dirty"]) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "a").write_text("2")
    assert collect(tmp_path)["dirty"] is True


def test_outside_of_a_checkout_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (collect(tmp_path)["commit"], collect(tmp_path)["dirty"]) == (None, None)


def test_without_git_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert collect()["commit"] is None


def test_everything_is_json_and_named() -> None:
    found = json.loads(json.dumps(collect()))
    assert set(found) == {"commit", "dirty", "code", "versions", "platform", "hardware"}
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "torchvision", "ray", "optuna", "mlflow", "numpy"} <= set(found["versions"])
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["memory_bytes"] > 2**28


def test_an_unknown_package_has_no_version() -> None:
    assert provenance._version("no-such-package-anywhere") is None


def test_nothing_heavy_is_imported() -> None:
    code = "import sys; from tracking.provenance import collect; collect(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0

"""`invsearch doctor`: all is well in a normal session, and each thing that can be wrong is named."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest

from search import cluster, doctor, doctor_cluster
from search.nodes import Clock, inventory

ROOT = Path(__file__).resolve().parents[2]
OF_NODES = (
    "who may connect to Ray", "names resolve here (workers)", "versions are equal on all nodes",
    "storage is seen by all nodes", "clocks of all nodes", "GPUs of all nodes",
)


def told(out: str) -> dict[str, str]:
    """check -> ok or FAILED."""
    found = {}
    for line in out.splitlines():
        for word in ("ok", "FAILED"):
            name, separator, _ = line.partition(f" {word} ")
            if separator:
                found[name.strip()] = word
    return found


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line per check."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ray", lambda root, address: iter(()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_all_is_well(ray_session: None, wide: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.examine(str(tmp_path), None) == 0
    out = capsys.readouterr().out
    findings = told(out)
    assert set(findings.values()) == {"ok"}
    assert {*doctor.PACKAGES, "storage", "MLflow", "Ray", *OF_NODES} <= set(findings)
    assert "1 node(s), 2 CPU" in out and "from this machine only" in out


@pytest.mark.timeout(240)
def test_it_starts_a_ray_of_its_own(tmp_path: Path) -> None:
    """As a user calls it, in a process where no Ray runs yet."""
    environment = {**os.environ, "COLUMNS": "400", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "search.cli", "doctor", "--root", str(tmp_path)], cwd=ROOT, capture_output=True,
        text=True, check=False, env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(told(done.stdout).values()) == {"ok"} and {"Ray", *OF_NODES} <= set(told(done.stdout))
    assert "GCS" not in done.stderr


def test_a_shadowed_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another distribution with a package `search`, before ours on the path."""
    assert doctor.names_resolve_here() == str(ROOT)
    other = ModuleType("tracking")
    other.__file__ = str(tmp_path / "site-packages" / "tracking" / "__init__.py")
    monkeypatch.setitem(sys.modules, "tracking", other)
    finding = doctor.guarded("names", doctor.names_resolve_here)
    assert not finding.good
    assert "`tracking` comes from" in finding.detail and "site-packages" in finding.detail


def test_a_namespace_package_shadows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `spaces` without `__init__.py` has no file at all."""
    monkeypatch.setitem(sys.modules, "spaces", ModuleType("spaces"))
    with pytest.raises(RuntimeError, match="`spaces` comes from"):
        doctor.names_resolve_here()


def test_storage_that_cannot_be_written(
    no_ray: None, wide: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where the folder should be; the cache beside it is fine, so the exit code is the storage's."""
    (tmp_path / "file").touch()
    assert doctor.examine(tmp_path / "file", None) == 1
    findings = told(capsys.readouterr().out)
    assert (findings["storage"], findings["data cache"]) == ("FAILED", "ok")
    assert findings["names resolve here (driver)"] == "ok"


def test_a_package_that_is_missing(no_ray: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", missing)
    monkeypatch.setattr(doctor, "_mlflow", lambda base: "not asked")
    findings = {finding.what: finding for finding in doctor._findings(tmp_path, None)}
    assert (findings["torch"].good, findings["torch"].detail) == (False, "not installed")


def test_an_import_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch and torchvision of different builds import with a RuntimeError."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    finding = doctor.guarded("torch and torchvision import", doctor._torch)
    assert not finding.good and "ModuleNotFoundError" in finding.detail
    monkeypatch.undo()
    importlib.import_module("torchvision")
    assert doctor.guarded("torch and torchvision import", doctor._torch).good


def test_a_broken_torch_is_a_finding() -> None:
    """In a fresh process: the doctor itself must load without the patient."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from search import doctor\n"
        "f = {f.what: f for f in (doctor.guarded('torch', doctor._torch), doctor.guarded('base', lambda: '.'))}\n"
        "print(f['torch'].good, f['base'].good, doctor.names_resolve_here())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "True", str(ROOT)]


def test_ray_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(connection: cluster.Connection) -> None:
        raise ConnectionError(f"nobody at {connection.address}")

    monkeypatch.setattr(cluster, "start", refused)
    (finding,) = doctor._ray(None, "far:6379")
    assert not finding.good and "nobody at far:6379" in finding.detail


def test_ray_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RAY_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "start", lambda connection: time.sleep(1.0))
    (finding,) = doctor._ray(None, "far:6379")
    assert not finding.good and "is the address right?" in finding.detail


def test_versions_that_differ_are_told_with_their_node() -> None:
    here = inventory()
    assert "on 2 nodes" in doctor_cluster.versions(here, {"one": dict(here), "two": dict(here)})
    other = here | {"torch": "1.0"}
    with pytest.raises(RuntimeError, match=f"two has torch 1.0 .here {here['torch']}."):
        doctor_cluster.versions(here, {"one": here, "two": other})
    with pytest.raises(RuntimeError, match="two: gone"):
        doctor_cluster.versions(here, {"one": here, "two": ConnectionError("gone")})


def test_clocks_that_disagree_are_told_only_where_that_is_sure() -> None:
    assert "within 1.000 s" in doctor_cluster.clocks({"one": Clock(0.0, 0.1), "two": Clock(-1.0, 0.2)})
    assert doctor_cluster.clocks({"busy": Clock(30.0, 40.0)})  # the answer took that long: nothing is known
    with pytest.raises(RuntimeError, match=r"two is 30\.0 s behind"):
        doctor_cluster.clocks({"one": Clock(0.0, 0.1), "two": Clock(-30.0, 0.1)})
    with pytest.raises(RuntimeError, match="no node answered"):
        doctor_cluster.clocks({})

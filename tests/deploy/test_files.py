"""The files of deploy/, as far as one machine can tell without running them: their form, and the commands in them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import typer
import yaml

from search import cli, recipes

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.read_text().startswith("#!/usr/bin/env bash")]
COMMAND = re.compile(r"(?:invsearch|\$bin/invsearch\"|search\.cli) ((?:compare|resume) .*)")


def name(path: Path) -> str:
    return path.relative_to(DEPLOY).as_posix()


def commands(text: str) -> list[list[str]]:
    """Our own command lines, with what follows on the next lines of a folded YAML string or behind a backslash."""
    lines = re.sub(r"\\\n\s*|(?<=[A-Za-z0-9])\n\s+(?=--)", " ", text).splitlines()
    found = [match[1] for line in lines if (match := COMMAND.search(line))]
    return [shlex.split(re.split(r" &$|'$", line)[0]) for line in found]


def parsed(words: list[str]) -> dict[str, Any]:
    """As the command line understands them; raises where it does not."""
    command = typer.main.get_command(cli.app).commands[words[0]]
    return dict(command.make_context(words[0], list(words[1:])).params)


ALL = [(name(path), words) for path in FILES for words in commands(path.read_text())]


def test_every_launcher_has_a_command() -> None:
    assert {"ray-cluster.yaml", "rayjob.yaml", "slurm.sbatch", "ray-job.sh"} == {file for file, _ in ALL}


@pytest.mark.parametrize(("file", "words"), ALL)
def test_the_commands_are_ours_and_go_on_after_a_restart(file: str, words: list[str]) -> None:
    given = parsed(words)
    assert given["or_resume"] and given["name"]
    assert given["source"] in recipes.names() or given["source"].startswith("$")


def test_control_a_wrong_option_is_noticed() -> None:
    with pytest.raises(Exception, match="--or-resumee"):
        parsed(["compare", "digits", "--or-resumee"])


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=name)
def test_yaml_parses(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_the_cluster_file_has_the_form_that_ray_wants() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    described = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    jsonschema.validate(described, schema)
    with pytest.raises(jsonschema.ValidationError):  # the control
        jsonschema.validate(described | {"max_worker": 2}, schema)


def test_the_job_has_what_kuberay_needs() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec["backoffLimit"] > 0 and "--or-resume" in spec["entrypoint"]
    assert yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "60"
    assert cluster["rayVersion"] == ray.__version__
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "invsearch-storage"}}]
        assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_the_scripts_are_sound_and_tell_how_they_are_used(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    assert "set -euo pipefail" in path.read_text()
    told = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
    assert told.returncode != 0 and "usage: " in told.stderr
    assert path.suffix == ".sbatch" or path.stat().st_mode & 0o111


def test_nothing_listens_beyond_loopback_unless_asked() -> None:
    for path in FILES:
        for line in path.read_text().splitlines():
            if not line.lstrip().startswith("#") and "0.0.0.0" in line:
                # Inside of the container; it is published on loopback.
                assert name(path) == "mlflow-postgres/compose.yaml" and "127.0.0.1:5000:5000" in path.read_text()

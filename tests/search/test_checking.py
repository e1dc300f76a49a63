"""`invsearch check`: good files are told so, each fault is named, a file with nothing in it is a mistake."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from search import cli, configuration
from search.checking import check_file
from tracking.errors import UserError
from trainables import contract, plugins
from trainables.problems import contract as problem_contract

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE, PAGE = ROOT / "docs" / "examples" / "my_lab.py", ROOT / "docs" / "plugins.md"
LAB = ROOT / "tests" / "support" / "lab.py"
Write = Callable[[str], Path]

HEAD = """
    from dataclasses import replace
    from typing import ClassVar
    import numpy as np
    import torch
    from pydantic import Field
    from torch import nn
    from trainables.methods.plain import Config as Plain
    from trainables.modules.supervised import Supervised
    from trainables.problems.dataset import SourceConfig, WrapperConfig, labelled, stream
"""
UNSEEDED = """
    class Unseeded(SourceConfig):
        name: ClassVar[str] = "check_unseeded"

        def load(self, seed):
            y = np.arange(120) % 2
            x = self.generator().integers(0, 255, (120, 1, 8, 8)).astype(np.uint8)
            return labelled(x[:80], y[:80], x[80:], y[80:], ("a", "b"))

        def generator(self):
            return np.random.default_rng()
"""
SEEDED = UNSEEDED.replace("np.random.default_rng()", 'stream("lab")').replace("check_unseeded", "check_seeded")
WRAPPER = """
    class Darker(WrapperConfig):
        name: ClassVar[str] = "check_darker"
        factor: float = 0.5

        def wrap(self, dataset, seed):
            return replace(dataset.map_pool(self.darker), test_x=self.darker(dataset.test_x))

        def darker(self, x):
            return (x * self.factor).astype(np.uint8)
"""
NO_DEFAULT = """
    class Needs(SourceConfig):
        name: ClassVar[str] = "check_needs"
        count: int
"""
DROPOUT = """
    def dropped(shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(shape[0] * shape[1] * shape[2], outputs))

    NETWORKS = {"check_dropout": dropped}
"""


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(plugins.PREFIX):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(text: str) -> Path:
        path = tmp_path / "my_lab.py"
        path.write_text(dedent(HEAD + text))
        return path

    return made


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """name -> check -> "ok", or the fault."""
    found: dict[str, dict[str, str]] = {}
    place: tuple[str, str] | None = None
    for line in capsys.readouterr().out.splitlines():
        match = re.fullmatch(r"(ok|BROKEN) +([\w-]+): (.*)", line)
        if match:
            place = (match[2], match[3])
            found.setdefault(match[2], {})[match[3]] = "ok" if match[1] == "ok" else ""
        elif place and line.startswith("       "):
            found[place[0]][place[1]] += line.strip()
    return found


def broken(checks: dict[str, str]) -> dict[str, str]:
    return {check: fault for check, fault in checks.items() if fault != "ok"}


def test_the_example_of_the_documentation_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_file(EXAMPLE) == 0
    found = told(capsys)
    assert set(found) == {"random_turn", "bars", "negative", "tiny_cnn"}
    assert not any(broken(checks) for checks in found.values())
    assert len(found["random_turn"]) == len(contract.ALL_CHECKS)
    assert len(found["bars"]) == len(found["negative"]) == len(problem_contract.ALL_CHECKS)


def test_the_documentation_shows_the_file_that_is_checked() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert blocks == [EXAMPLE.read_text()]


def test_the_comparison_of_the_documentation_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "my_comparison.yaml").write_text(block)
    comparison = configuration.load(str(tmp_path / "my_comparison.yaml"), modules=[EXAMPLE])
    assert {method.name for method in comparison.methods} >= {"plain", "random_turn"}
    for problem in comparison.problems:
        assert problem.build(0, 0, tmp_path / "cache").outputs == 2


def test_broken_methods_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """One that raises in its first step, one whose metrics are no numbers; the good network beside them holds."""
    assert check_file(LAB) == 1
    out = told(capsys)
    assert "RuntimeError: planted" in broken(out["explodes"])["same seed same run"]
    assert out["explodes"]["config survives json"] == "ok"
    faults = broken(out["not_a_number"])
    assert "finite" in faults["metrics are its own"]
    assert out["not_a_number"]["done at the horizon"] == "ok"
    assert "SystemExit: enough" in broken(out["exits"])["same seed same run"]
    assert not broken(out["linear"])


def test_a_source_is_held_to_its_contract(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_file(write(SEEDED)) == 0
    assert told(capsys)["check_seeded"]["seeded"] == "ok"


def test_a_source_that_is_not_seeded_is_broken(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Caching hides it from a second build in the same cache, so the check has to look past the cache."""
    assert check_file(write(UNSEEDED)) == 1
    assert "the same seed gave other numbers" in broken(told(capsys)["check_unseeded"])["seeded"]


def test_a_file_with_a_wrapper_only_is_checked(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_file(write(WRAPPER)) == 0
    assert len(told(capsys)["check_darker"]) == len(problem_contract.ALL_CHECKS)


def test_a_wrapper_that_goes_out_of_range_is_broken(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_file(write(WRAPPER.replace("(x * self.factor).astype(np.uint8)", "x / np.float32(100)"))) == 1
    assert "[0, 1]" in broken(told(capsys)["check_darker"])["shapes and ranges"]


def test_a_network_that_draws_from_the_global_generator_is_broken(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_file(write(DROPOUT)) == 1
    assert "global random generator" in broken(told(capsys)["check_dropout"])["leaves global generators"]


def test_fields_without_defaults_are_told(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_file(write(NO_DEFAULT)) == 1
    assert all("count" in fault for fault in told(capsys)["check_needs"].values())


def test_a_file_that_offers_nothing(write: Write) -> None:
    with pytest.raises(UserError, match="must define"):
        check_file(write("    NETWORKS = {}"))


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("nothing.py", 2, "must define"), ("missing.py", 2, "exists"), ("torn.py", 2, "SyntaxError"),
        ("house.py", 2, "house"), ("good.py", 0, "checks hold"), ("bad.py", 1, "BROKEN check_dropout"),
    ],
)
def test_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    file: str, code: int, words: str,
) -> None:
    texts = {
        "nothing.py": "", "torn.py": "    def (:", "good.py": DROPOUT.replace("nn.Dropout(), ", ""), "bad.py": DROPOUT,
        "house.py": '\n    class Mine(Plain):\n        name: ClassVar[str] = "plain"\n',
    }
    if file in texts:
        (tmp_path / file).write_text(dedent(HEAD + texts[file]))
    monkeypatch.setattr(sys, "argv", ["invsearch", "check", str(tmp_path / file)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    assert (caught.value.code or 0) == code
    assert words in out.out + out.err
    assert "Traceback" not in out.err


def test_makers_are_checked_and_methods_get_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_file(LAB.with_name("toy_maker.py")) == 0
    said = capsys.readouterr().out
    assert "ok     toy_maker: resume is exact" in said and "ok     needs_toy: resume is exact" in said

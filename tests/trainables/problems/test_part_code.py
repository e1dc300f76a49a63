"""Data that a user's own source or wrapper made are known by its code, and the house's keys stay what they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from trainables import plugins
from trainables.problems.digits import Config as Digits
from trainables.problems.part_code import PROCESS, own_code

SOURCE = """
    from typing import ClassVar
    import numpy as np
    from trainables.problems.dataset import Dataset, SourceConfig, labelled

    class Shade(SourceConfig):
        name: ClassVar[str] = "shade"

        def load(self, seed: int) -> Dataset:
            y = np.arange(40) % 2
            x = np.full((40, 1, 8, 8), LEVEL, np.uint8) - y[:, None, None, None].astype(np.uint8)
            return labelled(x, y, x[:10], y[:10], ("a", "b"))
"""


def test_what_a_source_of_before_loaded_is_not_taken_for_what_it_loads_today(tmp_path: Path) -> None:
    """Two versions of one file, each in a process of its own, with one cache; and the same version in two files."""
    program = (
        "import sys; from pathlib import Path; from trainables import plugins\n"
        "from trainables.problems.problem import Split; from trainables.problems.spec import ProblemSpec\n"
        "plugins.load([plugins.PluginFile.of(Path(sys.argv[1]))])\n"
        "spec = ProblemSpec(label='x', source={'name': 'shade'})\n"
        "made = spec.build(0, 0, Path(sys.argv[2]))\n"
        "print(round(float(made.examples(Split.TEST)[0].max()) * 255), len(list(Path(sys.argv[2]).iterdir())))\n"
    )
    said = []
    for file, level in (("a.py", 100), ("b.py", 200), ("c.py", 100)):
        path = tmp_path / file
        path.write_text(dedent(SOURCE.replace("LEVEL", str(level))))
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), str(tmp_path / "cache")], capture_output=True, text=True,
            check=False, cwd=Path(plugins.__file__).parents[1],
        )
        assert done.returncode == 0, done.stderr
        said.append([int(number) for number in done.stdout.split()])
    levels, entries = zip(*said, strict=True)
    assert levels == (100, 200, 100)
    assert entries[2] == entries[1] > entries[0], "the same text is the same source, wherever it lies"


def test_parts_of_the_house_keep_their_keys() -> None:
    assert own_code((Digits(), Digits())) == []


@pytest.mark.parametrize(("module", "file"), [("__main__", None), ("notebook", "<stdin>"), ("tests.here", __file__)])
def test_code_without_a_file_is_told_apart_too(
    monkeypatch: pytest.MonkeyPatch, module: str, file: str | None
) -> None:
    """By its text where Python knows it, else by the process."""
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    monkeypatch.setattr(sys.modules[module], "__file__", file, raising=False)
    kinds = [type(name, (), {"__module__": module}) for name in ("One", "Other")]
    first, again, _ = (own_code((kind(),)) for kind in (kinds[0], kinds[0], kinds[1]))
    assert first == again and len(first[0]) == 16
    assert (first == [PROCESS]) == (file != __file__)

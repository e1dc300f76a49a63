"""What an artefact's key depends on, and what a maker gets to see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.support.artefacts import MAKER, SOURCE, spec
from tests.support.toy_problems import image_toy
from tracking.cost import Meter
from tracking.errors import UserError
from trainables import makers, plugins
from trainables.artefact import ArtefactSpec
from trainables.maker import UnlabelledPool, pool_of

ROOT = Path(__file__).resolve().parents[2]
WRAPPED = SOURCE | {"wrappers": [{"name": "few_shot", "shots": 10}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"horizon": 13}}, {"settings": {"batch_size": 9}}, {"settings": {"learning_rate": 0.02}},
        {"seed": 1}, {"data_seed": 1}, {"source": WRAPPED}, {"source": SOURCE | {"shares": [0.4, 0.4, 0.2]}},
        {"source": SOURCE | {"source": {"name": "toy_images", "noise": 0.06}}},
        {"source": SOURCE | {"limits": {"rotation": 45.0}}},
    ],
)
def test_the_key_changes_with_everything_that_changes_what_is_made(changes: dict[str, Any]) -> None:
    assert spec(**changes).key() != spec().key()


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"source": SOURCE | {"label": "another-name"}}, {"settings": {"horizon": 12}}, {"seed": 0},
        {"source": {"label": "toy", "source": {"name": "toy_images", "noise": 0.05}}},
    ],
)
def test_the_key_does_not_change_with_names_or_with_what_is_a_default_anyway(changes: dict[str, Any]) -> None:
    assert spec(**changes).key() == spec().key()


def test_where_files_lie_is_no_part_of_the_key() -> None:
    def mnist(**fields: Any) -> str:
        source = {"name": "torchvision", "dataset": "MNIST", "root": "data"} | fields
        return spec(source={"label": "mnist", "source": source}).key()

    assert mnist(root="elsewhere", download=False) == mnist()
    assert mnist(limit=100) != mnist()


def test_versions_of_the_maker_and_of_torch_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    known = spec().key()
    with monkeypatch.context() as patch:
        patch.setattr(plugins.maker_config("toy_maker"), "version", 2)
        assert spec().key() != known
    for version, same in [("99.1.0", False), (f"{'.'.join(torch.__version__.split('.')[:2])}.99+cu999", True)]:
        monkeypatch.setattr(torch, "__version__", version)
        assert (spec().key() == known) is same


def test_a_description_survives_json_and_a_fresh_process() -> None:
    made = spec(settings={"horizon": 7})
    assert ArtefactSpec.model_validate_json(made.model_dump_json()) == made
    code = (
        "import sys; from tests.support.artefacts import spec;"
        "print(spec(settings={'horizon': 7}).key())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == made.key()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"maker": "toy_makr"}, "toy_makr.*toy_maker"),
        ({"settings": {"horizn": 3}}, "horizn.*horizon"),
        ({"settings": {"horizon": 0}}, "horizon.*greater than or equal to 1"),
        ({"source": {"label": "x", "source": {"name": "toy_imges"}}}, "toy_imges.*toy_images"),
    ],
)
def test_bad_descriptions_are_told_with_the_nearest_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValidationError, UserError), match=f"(?s){words}"):
        spec(**changes)


def test_a_maker_sees_inputs_and_nothing_else() -> None:
    """No label by any name; what it draws is what the problem's own view gives."""
    problem = image_toy()
    pool = pool_of(problem, Meter("cpu"), "toy")
    assert pool.shape == (1, 8, 8) and pool.size() == problem.view().size()
    drawn = pool.unlabelled(torch.Generator().manual_seed(0), 5)
    assert torch.equal(drawn, problem.view().unlabelled(torch.Generator().manual_seed(0), 5))
    shown = {name for name in dir(pool) if not name.startswith("_")}
    assert shown == {"shape", "transform_bank", "size", "unlabelled", "balanced"}
    assert {"draw", "episode", "loss"} < set(dir(problem.view())), "the control: the view itself has them"


def test_a_source_without_a_pool_is_refused() -> None:
    class Empty:
        def size(self) -> int:
            return 0

        def unlabelled(self, generator: torch.Generator, size: int) -> torch.Tensor:
            raise AssertionError("nothing may be drawn")

    class Without:
        def view(self, meter: Meter | None = None) -> Empty:
            return Empty()

    with pytest.raises(UserError, match=r"needs a pool.*\n.*nothing-there"):
        pool_of(Without(), None, "nothing-there")  # type: ignore[arg-type]
    assert isinstance(pool_of(image_toy(), None, "toy"), UnlabelledPool)


def test_makers_are_found_by_their_files() -> None:
    folder = Path(makers.__file__).parent
    assert set(makers.names()) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    for name in makers.names():
        assert isinstance(plugins.maker_config(name).version, int)
    plugins.load([MAKER])
    with pytest.raises(UserError, match="did you mean `toy_maker`"):
        plugins.maker_config("toymaker")

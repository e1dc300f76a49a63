"""When two sources count as the same data, however divided: then an extractor may have seen a task's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainables.problems.digits import Config as Digits
from trainables.problems.folder import Config as Folder
from trainables.problems.torchvision_dataset import Config as Torchvision


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("f/train/a", "f/test/a", "g/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "f")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("other", "shared"), [("f/", True), ("f/train", True), ("link", True), ("g", False)])
def test_of_folders_where_they_lie_counts(home: Path, other: str, shared: bool) -> None:
    for one, two in ((str(home / "f"), other), (other, str(home / "f"))):
        assert Folder(path=one, size=16).may_share(Folder(path=two, size=16)) == shared
    assert not Folder(path=other, size=16).may_share(Digits())


@pytest.mark.parametrize(("fields", "shared"), [
    ({"dataset": "MNIST", "root": "elsewhere"}, True), ({"dataset": "MNIST", "limit": 100}, True),
    ({"dataset": "QMNIST"}, True), ({"dataset": "FashionMNIST"}, False),
])
def test_of_torchvision_the_collection_counts(fields: dict[str, Any], shared: bool) -> None:
    assert Torchvision(dataset="MNIST", root="data").may_share(Torchvision(**{"root": "data", **fields})) == shared


def test_of_others_the_name_counts() -> None:
    assert Digits(test=300).may_share(Digits()) and not Digits().may_share(Torchvision(dataset="MNIST", root="data"))

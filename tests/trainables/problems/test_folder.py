"""The user's own folder: what it reads, and what is told when it cannot serve."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tracking.errors import UserError
from trainables.problems import folder
from trainables.problems.contract import ALL_CHECKS
from trainables.problems.folder import Config as Folder
from trainables.problems.problem import Problem, Split
from trainables.problems.spec import ProblemSpec

MakeFolder = Callable[..., Path]
CIFAR = Path(__file__).resolve().parents[3].parent / "shared/data/cifar10-imagefolder.tar.xz"


def build(path: Path, cache: Path, shots: int | None = None, **fields: Any) -> Problem:
    source = {"name": "folder", "path": str(path), **fields}
    wrappers = ({"name": "few_shot", "shots": shots},) if shots else ()
    spec = ProblemSpec(label="mine", source=source, wrappers=wrappers)
    return spec.build(0, 0, cache / "cache")


def test_reads_classes_and_holds_out_a_test_set(make_folder: MakeFolder, tmp_path: Path) -> None:
    problem = build(make_folder(ant=20, bee=40), tmp_path, size=8)
    assert problem.shape == (3, 8, 8)
    assert [problem.size(split) for split in Split] == [21, 11, 10, 18]  # 14 and 28 by shares
    x, y = problem.examples(Split.TEST)
    assert y.bincount().tolist() == [6, 12]
    # The fixture paints class k in grey levels 60 k .. 60 k + 59, so brightness tells the class.
    assert ((x.mean((1, 2, 3)) * 255 // 60).long() == y).all()


def test_train_and_test_folders_are_kept(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("images/train", ant=8, bee=8)
    make_folder("images/val", ant=3, bee=2)
    problem = build(tmp_path / "images", tmp_path, grey=True, size=4)
    assert problem.size(Split.TEST) == 5
    assert problem.shape == (1, 4, 4)


def test_beside_a_test_folder_validation_images_join_those_of_train(make_folder: MakeFolder, tmp_path: Path) -> None:
    for part, count in {"train": 8, "val": 4, "test": 3}.items():
        make_folder(f"images/{part}", ant=count, bee=count)
    problem = build(tmp_path / "images", tmp_path, size=4)
    assert problem.size(Split.TEST) == 6
    assert sum(problem.size(split) for split in Split) == 30
    make_folder("images/val", cow=1)
    problem = build(tmp_path / "images", tmp_path, size=4)
    assert sum(problem.size(split) for split in Split) == 22
    assert problem.notes == ("`val` has other classes than `train`, and is left out",)  # type: ignore[attr-defined]


@pytest.mark.parametrize("twice", [("train", "Train"), ("train", "training"), ("test", "Testing"), ("val", "valid")])
def test_two_folders_for_one_part_are_told(make_folder: MakeFolder, tmp_path: Path, twice: tuple[str, str]) -> None:
    for part in {"train", *twice}:
        make_folder(f"images/{part}", ant=8, bee=8)
    with pytest.raises(UserError, match="one folder of") as told:
        build(tmp_path / "images", tmp_path)
    assert told.value.got == ", ".join(sorted(twice))


def test_what_is_beside_train_is_told(make_folder: MakeFolder, tmp_path: Path) -> None:
    """Classes beside `train` would be missed in silence; a folder without images is nobody's loss."""
    make_folder("images/train", ant=8, bee=8)
    make_folder("images", cow=4)
    (tmp_path / "images" / "notes").mkdir()
    problem = build(tmp_path / "images", tmp_path, size=4)
    assert problem.notes == ("beside `train` nothing else is read: cow",)  # type: ignore[attr-defined]


def test_test_folders_alone_are_no_classes(make_folder: MakeFolder, tmp_path: Path) -> None:
    for part in ("test", "val"):
        make_folder(f"images/{part}", ant=8, bee=8)
    with pytest.raises(UserError, match="needs one to learn from"):
        build(tmp_path / "images", tmp_path)


def test_capitals_do_not_matter(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("images/Train", ant=20, bee=20)
    make_folder("images/TEST", ant=3, bee=3)
    first = tmp_path / "images" / "Train" / "ant" / "000.png"
    first.rename(first.with_suffix(".PNG"))
    problem = build(tmp_path / "images", tmp_path, size=4)
    assert sum(problem.size(split) for split in Split) == 46 and problem.size(Split.TEST) == 6


def test_hidden_files_and_folders_are_no_images(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=20)
    (path / "ant" / "._000.png").write_bytes(b"what a Mac leaves beside a file")
    (path / "ant" / ".ipynb_checkpoints").mkdir()
    (path / "ant" / ".ipynb_checkpoints" / "000.png").write_bytes((path / "ant" / "000.png").read_bytes())
    (path / "__MACOSX").mkdir()
    (path / "__MACOSX" / "000.png").write_bytes((path / "ant" / "000.png").read_bytes())
    (path / ".git").mkdir()
    (path / ".git" / "000.png").write_bytes((path / "ant" / "000.png").read_bytes())
    (path / "ant" / "folder.png").mkdir()
    assert sum(build(path, tmp_path).size(split) for split in Split) == 40
    path.rename(tmp_path / ".hidden")  # what lies above the classes does not matter
    assert sum(build(tmp_path / ".hidden", tmp_path).size(split) for split in Split) == 40


def test_a_link_to_nowhere_is_an_image_that_cannot_be_read(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=20)
    (path / "ant" / "gone.png").symlink_to("/nowhere.png")
    (path / "bee" / "loop.png").symlink_to("loop.png")
    notes = build(path, tmp_path, max_unreadable=0.1).notes  # type: ignore[attr-defined]
    assert notes == ("2 of 42 images (ant/gone.png, bee/loop.png) cannot be read; they are left out",)


def test_a_turned_tiff_is_read_in_its_own_shape(tmp_path: Path) -> None:
    """Uncompressed and opened by its path, Pillow maps it in the wrong one."""
    drawn = np.arange(6 * 12, dtype=np.uint8).reshape(6, 12)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("ant", "bee"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(drawn + number).save(tmp_path / "images" / kind / f"{number}.tif", exif=exif)
    x = build(tmp_path / "images", tmp_path, size=6, grey=True).examples(Split.TEST).x
    first = (x[0, 0] * 255).round().numpy()
    assert np.array_equal(first - first.min(), np.rot90(drawn - drawn[:, 3:9].min(), -1)[3:9])


def test_another_way_of_reading_is_another_problem(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Folder(path=str(make_folder(ant=9, bee=9)))
    before = source.fingerprint()
    monkeypatch.setattr(folder, "READING", 0)
    assert source.fingerprint() != before


def test_what_is_odd_about_the_images_is_noted(make_folder: MakeFolder, tmp_path: Path) -> None:
    """And nothing where nothing is."""
    path = make_folder(ant=20, bee=20)
    assert build(path, tmp_path).notes == ()  # type: ignore[attr-defined]
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path / "ant" / "clear.png")
    assert build(path, tmp_path).notes == (  # type: ignore[attr-defined]
        "1 of 41 images (ant/clear.png) are transparent in places, which were read as white",
    )
    dark = tmp_path / "dark"
    for name in ("ant", "bee"):
        (dark / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(np.full((8, 8), 4095 - 100 * number, np.uint16)).save(dark / name / f"{number}.png")
    assert "brightest pixel of all has 16 of 255" in build(dark, tmp_path).notes[0]  # type: ignore[attr-defined]
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(dark / "ant" / "bright.png")
    assert build(dark, tmp_path).notes == ()  # type: ignore[attr-defined]


def test_a_file_of_32_bits_is_told_with_the_reason(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=20)
    Image.fromarray(np.zeros((8, 8), np.float32)).save(path / "bee" / "depth.tiff")
    with pytest.raises(UserError, match=r"depth\.tiff\) cannot be read \(images must have 8 or 16 bits.*not mode F"):
        build(path, tmp_path)
    (note,) = build(path, tmp_path, max_unreadable=0.1).notes  # type: ignore[attr-defined]
    assert "without a sign, not mode F" in note


@pytest.mark.parametrize("check", ALL_CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Any, make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=40)
    spec = ProblemSpec(label="mine", source={"name": "folder", "path": str(path), "size": 8})
    check(lambda seed, partition: spec.build(seed, partition, tmp_path / "cache"))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be a folder"):
        build(tmp_path / "nowhere", tmp_path)


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="must hold images"):
        build(tmp_path / "images", tmp_path)


def test_all_empty_classes_are_named_at_once(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=9, bee=0, cat=9, dog=0)
    with pytest.raises(UserError, match="bee, dog"):
        build(path, tmp_path)


def test_one_class(make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two classes"):
        build(make_folder(ant=9), tmp_path)


def test_train_and_test_must_agree(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("images/train", ant=8, bee=8)
    make_folder("images/test", ant=8, cow=8)
    with pytest.raises(UserError, match="bee, cow"):
        build(tmp_path / "images", tmp_path)


def test_few_unreadable_images_are_left_out(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=20)
    (path / "bee" / "broken.png").write_bytes(b"no image at all")
    problem = build(path, tmp_path, max_unreadable=0.05)
    told = "1 of 41 images (bee/broken.png) cannot be read"
    assert sum(problem.size(split) for split in Split) == 40
    assert told in problem.notes[0]  # type: ignore[attr-defined]
    assert told in build(path, tmp_path, max_unreadable=0.05).notes[0]  # type: ignore[attr-defined] # from the cache


def test_truncated_image_counts_as_unreadable(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=20)
    broken = path / "ant" / "000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match=r"1 of 40 images \(ant/000\.png\) cannot be read"):
        build(path, tmp_path)  # 2.5 % is more than the default 1 %


def test_class_whose_images_are_all_unreadable(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=1)
    (path / "bee" / "000.png").write_bytes(b"")
    with pytest.raises(UserError, match="every class must hold readable images"):
        build(path, tmp_path, max_unreadable=1)


def test_fewer_images_than_shots(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=10, cow=8)
    with pytest.raises(UserError) as told:
        build(path, tmp_path, shots=10)
    assert "bee (7), cow (6)" in str(told.value)
    assert "set shots to 6" in str(told.value)


def test_fewer_images_than_splits(make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ant \(2\)"):
        build(make_folder(ant=3, bee=30), tmp_path)


def test_a_failed_build_leaves_nothing_behind(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=10)
    with pytest.raises(UserError):
        build(path, tmp_path, shots=10)
    assert not [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()]


def test_a_changed_folder_is_another_problem(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder(ant=20, bee=20)
    before = build(path, tmp_path)
    (path / "bee" / "000.png").unlink()
    assert sum(build(path, tmp_path).size(split) for split in Split) == 39
    assert sum(before.size(split) for split in Split) == 40


@pytest.mark.skipif(not CIFAR.is_file(), reason=f"needs {CIFAR}")
def test_cifar_folder(tmp_path: Path) -> None:
    wanted = {"airplane": 0, "automobile": 0}
    with tarfile.open(CIFAR) as archive:  # a stream: stops at the first images of two classes
        for member in archive:
            label = Path(member.name).parent.name
            if member.isfile() and label in wanted and wanted[label] < 12:
                archive.extract(member, tmp_path, filter="data")
                wanted[label] += 1
            if min(wanted.values()) == 12:
                break
    problem = build(tmp_path / "cifar10" / "test", tmp_path)
    assert problem.shape == (3, 32, 32)
    assert sum(problem.size(split) for split in Split) == 24

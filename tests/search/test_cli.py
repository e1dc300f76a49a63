"""The command line: exit codes, one message without traceback, nothing written on a mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search import cli

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INVSEARCH_ROOT", str(tmp_path / "sweeps"))
    monkeypatch.setenv("INVSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "sweeps"


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["invsearch", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    code = caught.value.code
    return (0 if code is None else int(code)), out.out, out.err


BAD = [
    (["compare", "smok"], ["recipe", "did you mean `smoke`"]),
    (["compare", "smoke", "--set", "budgt=1"], ["budgt", "did you mean `budget`"]),
    (["compare", "smoke", "--set", "methods.0.name=plane"], ["plane", "did you mean `plain`"]),
    (["compare", "smoke", "--set", "problems.0.source.name=digts"], ["digts", "did you mean `digits`"]),
    (["compare", "smoke", "--set", "horizon=-3"], ["horizon", "-3"]),
    (["compare", "smoke", "--set", "problems.0.wrappers.0.shots=5000"], ["5000"]),
    (["compare", "smoke", "--set", "problems.0.wrappers.1.ranges={rotatoin: 20}"], ["rotatoin", "rotation"]),
    (["compare", "smoke", "--set", "problems.0.wrappers.1.ranges={rotation: 500}"], ["500", "90"]),
    (["compare", "smoke", "--module", "nowhere.py"], ["nowhere.py"]),
    (["compare", "smoke", "--name", "a b"], ["a b", "letters"]),
    (["compare", "smoke", "--name", "a" * 256], ["at most 200 characters", "256", "--name"]),
    (["compare", "smoke", "--or-resume"], ["--name"]),
    (["compare", "smoke", "--working-dir", "nowhere"], ["--working-dir", "source tree"]),
    (["compare", "smoke", "--wheel", "nowhere.whl"], ["--wheel", "pip wheel"]),
    (["compare", "smoke", "--set", "retries.rased=1"], ["rased", "did you mean `raised`"]),
    (["compare", "smoke", "--name", "artefacts"], ["store of artefacts"]),
    (["compare", "smoke", "--set", "methods.0.name=msr"], ["row `msr`", "made of tasks", "episodes"]),
    (["compare", "augmented_episodes", "--set", "problems.0.wrappers.0.ways=5"], ["5 ways need 15 classes", "ways: 3"]),
    (["compare", "augmented_episodes", "--set", "problems.0.shares=[0.6,0.2,0.2]"], ["select must hold", "shares"]),
    (["compare", "augmented_episodes", "--set", "methods.0.settings.architecture=dense"], ["single linear layer"]),
    (["compare", "augmented_episodes", "--set", "network=resnet18"], ["row `msr-kronecker`", "stride 1", "small_cnn"]),
    (["compare", "symmetries", "--set", "methods.0.settings.architecture=network", "--set", "network=small_cnn"],
     ["row `maml-dense`", "small_cnn needs images"]),
    (["compare", "symmetries", "--set", "problems.0.source.layer=cyclic16"], ["3 taps gives 14 outputs"]),
    (["compare", "symmetries", "--set", "methods.3.settings.latent=0"], ["latent"]),
    (["compare", "symmetries", "--set", "methods.3.settings.latent=5000"], ["1 to 4760", "5000"]),
    (["compare", "tails_digits", "--set", "problems.3.wrappers.0.largest=5000"],
     ["images that the tail and `select` ask for", "of 5030"]),
    (["compare", "tails_digits", "--set", "problems.0.wrappers.0.ratio=0.01"], ["smallest class of the tail"]),
    (["compare", "tails_digits", "--set", "problems.0.wrappers.0.ranges={stroke: 2}"], ["transform bank", "stroke"]),
    (["compare", "tails_digits", "--set", "problems.0.actions=[strok]"], ["actions", "strok"]),
    (["compare", "tails_digits", "--set", "methods.0.name=git", "--set", "methods.0.settings.cutoff=5000"],
     ["row `git`", "between 6 and 60", "5000", "cutoff: null"]),
    (["compare", "tails_digits", "--set", "methods.1.name=descriptor", "--set",
      "methods.1.settings.imbalance.loss=focal"], ["row `balanced`", "imbalance.loss: focal", "`sampling` or"]),
    (["compare", "tails_digits", "--set", "methods.1.settings.imbalance.sampling=even"], ["sampling", "even"]),
    (["compare", "digits", "--set", "methods=[{name: learned_ranges, settings: {caps: {hue: 0.1}}}]"],
     ["a cap must name an operation of the layer", "hue"]),
    (["compare", "digits", "--dry-run", "--set", "methods=[{name: instance_ranges, settings: {caps: {phase: 0.1}}}]"],
     ["a cap must name an operation of the layer", "phase"]),
    (["compare", "digits", "--set", "methods=[{name: learned_ranges, settings: {caps: {flip_horizontal: 1.7}}}]"],
     ["beyond 1 means nothing", "1.7"]),
    (["compare", "digits", "--set", "methods=[{name: fixed_ranges, settings: {ranges: {hue: 0.1}}}]"],
     ["need RGB images"]),
    (["pretrain", "digit"], ["recipe", "did you mean `digits`"]),
    (["pretrain", "digits", "--set", "maker=amortized_extractor"], ["did you mean `amortised_extractor`"]),
    (["pretrain", "digits", "--set", "settings.horizn=5"], ["horizn", "did you mean `horizon`"]),
    (["pretrain", "digits", "--set", "source.name=digts"], ["digts", "did you mean `digits`"]),
    (["pretrain", "digits", "--or-resume"], ["--name"]),
    (["compare", "smoke", "--or-resume", "--name", ""], ["letters, digits", "an empty name"]),
    (["compare", "smoke", "--name", ""], ["an empty name"]),
    (["compare", "smoke", "--json"], ["--json without --dry-run"]),
    (["pretrain", "digits", "--json"], ["--json without --dry-run"]),
    (["compare", "smoke", "--dry-run", "--set", "warm_start=[before]"], ["no sweep of that name", "before"]),
    (["compare", "smoke", "--set", "resources.custom={fast: -1}"], ["resources.custom.fast", "-1"]),
    (["recipes", "--pretrain", "--show", "mnst"], ["did you mean `mnist`"]),
    (["resume", "nothing"], ["no sweep of that name", "nothing"]),
    (["status", "nothing"], ["no sweep of that name"]),
    (["report", "nothing"], ["no sweep of that name"]),
    (["recipes", "--show", "digit"], ["did you mean `digits`"]),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_a_mistake_is_told_and_nothing_is_written(
    arguments: list[str], words: list[str], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    code, _, err = run(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "Traceback" not in err
    assert all(word in err for word in words), err
    assert not root.exists() or not list(root.glob("*/journal.jsonl"))


def test_a_name_that_exists(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "journal.jsonl").write_text("kept\n")
    code, _, err = run("compare", "smoke", "--name", "mine", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "invsearch resume mine" in err
    assert (root / "mine" / "journal.jsonl").read_text() == "kept\n"


def test_storage_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "file").write_text("in the way")  # root may write anywhere, so a file stands for a closed folder
    code, _, err = run(
        "compare", "smoke", "--root", str(tmp_path / "file"), monkeypatch=monkeypatch, capsys=capsys
    )
    assert code == 2
    assert "writable" in err


def test_the_nearest_sweep_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    (root / "digits-1").mkdir(parents=True)
    (root / "digits-1" / "journal.jsonl").touch()
    _, _, err = run("resume", "digits-l", monkeypatch=monkeypatch, capsys=capsys)
    assert "did you mean `digits-1`" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["methods"], ["plain", "trivial_augment", "augnet", "unrolled"]),
        (["problems"], ["digits", "folder", "few_shot", "nuisance", "shuffled_labels", "transform_target"]),
        (["recipes"], ["digits", "smoke"]),
        (["recipes", "--show", "smoke"], ["problems:", "few_shot"]),
        (["recipes", "--pretrain"], ["digits", "digits_quick", "mnist"]),
        (["recipes", "--pretrain", "--show", "digits"], ["maker: amortised_extractor"]),
        (["status"], ["no sweeps"]),
    ],
)
def test_listings(
    arguments: list[str], words: list[str], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    code, out, _ = run(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert all(word in out for word in words), out


def test_help_loads_nothing_heavy() -> None:
    """`--help` answers at once because torch, Ray and MLflow stay out; in a fresh process."""
    code = (
        "import sys; sys.argv = ['invsearch', '--help']\nfrom search import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch', 'ray', 'mlflow', 'optuna', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert "compare" in done.stdout


def test_a_ray_that_does_not_start_is_one_message(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Not the user's mistake: exit code 1; as Ray says it where the machine is too busy, with a bare Exception."""
    import ray

    def failing(**options: object) -> None:
        raise Exception("The current node timed out during startup.\nsecond line")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", failing)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code, _, err = run("compare", "smoke", "--name", "mine", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1
    assert err.startswith("error: Ray must start on this machine\n  got:  The current node timed out during startup.\n")
    assert "hint:" in err and "Traceback" not in err and "second line" not in err
    assert not list(root.glob("*"))

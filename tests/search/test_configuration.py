"""From words to a comparison: overrides, YAML 1.2 numbers, and every fault told in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search import configuration, recipes
from search.settings import SamplerName
from search.study import Comparison
from tracking.errors import UserError


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_a_valid_comparison(name: str) -> None:
    comparison = configuration.load(name)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_overrides() -> None:
    made = configuration.load(
        "smoke",
        [
            "budget=1e-1", "sampler=random", "problems.0.label=mine", "asha.grace=0.5",
            "methods.0.settings.batch_size=32",
        ],
    )
    assert made.budget == 0.1  # YAML 1.1 would have read "1e-1" as a word
    assert made.sampler is SamplerName.RANDOM
    assert made.problems[0].label == "mine"
    assert made.asha is not None and made.asha.grace == 0.5
    assert made.methods[0].settings == {"batch_size": 32}


def test_rows_and_problems_of_a_recipe_are_named_by_their_labels() -> None:
    whole = configuration.load("git_stroke")
    some = configuration.load("git_stroke", ["methods=[oracle-tail, drs]", "problems=[mnist-stroke-1]", "budget=1.5"])
    rows = {spec.key: spec for spec in whole.methods}
    assert list(some.methods) == [rows["oracle-tail"], rows["drs"]]
    assert list(some.problems) == [whole.problems[1]]


def test_what_a_word_stands_for_can_be_changed_further() -> None:
    made = configuration.load("git_stroke", ["methods=[drs, git]", "methods.1.settings.cutoff=50",
                                             "problems=[mnist-stroke-1]", "problems.0.wrappers.0.select=20"])
    assert made.methods[1].settings["cutoff"] == 50
    assert made.problems[0].wrappers[0]["select"] == 20
    again = configuration.load("git_stroke", ["methods.0.settings.batch_size=32", "methods=[plain]"])
    assert again.methods[0].settings == {}, "words mean the recipe's rows as they were"


def test_a_method_that_is_no_row_is_itself_at_its_defaults() -> None:
    made = configuration.load("smoke", ["methods=[plain, lila, {name: plain, label: other}]"])
    assert [(spec.key, spec.name, spec.settings) for spec in made.methods] == [
        ("plain", "plain", {}), ("lila", "lila", {}), ("other", "plain", {}),
    ]


def test_a_file_may_name_methods(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**recipes.get("smoke"), "methods": ["plain", "augnet"]}))
    assert [spec.key for spec in configuration.load(str(path)).methods] == ["plain", "augnet"]


def test_asha_can_be_switched_off() -> None:
    assert configuration.load("smoke", ["asha=null"]).asha is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1e5", 1e5), ("-.5", -0.5), ("3", 3), ("on", "on"), ("no", "no"), ("true", True),
        ("1.5e+3", 1500.0), ("null", None), ("0.1", 0.1), ("1.0.1", "1.0.1"), ("[1, 2]", [1, 2]),
    ],
)
def test_yaml_is_1_2(text: str, value: Any) -> None:
    parsed = configuration.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_file_holds_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(recipes.get("smoke")))
    assert configuration.load(str(path)) == configuration.load("smoke")


@pytest.mark.parametrize(
    ("source", "overrides", "words"),
    [
        ("smok", [], ["recipe", "smok", "did you mean `smoke`"]),
        ("none.yaml", [], ["readable", "none.yaml"]),
        ("smoke", ["budgt=3"], ["budgt", "did you mean `budget`"]),
        ("smoke", ["budget=-1"], ["budget", "-1", "greater than 0"]),
        ("smoke", ["budget"], ["dotted.key=value"]),
        ("smoke", ["budget=[1"], ["YAML", "budget=[1"]),
        ("smoke", ["horizon=0"], ["horizon", "0"]),
        ("smoke", ["horizon=3", "slices=7"], ["slices <= horizon", "slices=7"]),
        ("smoke", ["sampler=bayes"], ["sampler", "bayes", "tpe"]),
        ("smoke", ["network=resnt"], ["network", "resnt", "small_cnn"]),
        ("smoke", ["methods.0.name=augnett"], ["method", "augnett", "did you mean `augnet`"]),
        ("smoke", ["methods.0.settings.learning_rat=1"], ["plain", "learning_rat", "did you mean `learning_rate`"]),
        ("smoke", ["methods.0.settings.learning_rate=-1"], ["learning_rate", "-1"]),
        ("digits", ["methods.4.name=descriptor", "methods.4.settings.extractor.sise=8"],
         ["extractor.sise", "known: quality, seed, settings, source"]),
        ("digits", ["methods=[plain, {name: descriptor, settings: {extractor: {qualty: quick}}}]"],
         ["methods.1.extractor.qualty", "did you mean `quality`"]),
        ("smoke", ["methods.0.name=trivial_augment"], ["method labels must be unique", "trivial_augment"]),
        ("smoke", ["problems.0.source.name=digit"], ["digit", "did you mean `digits`"]),
        ("smoke", ["problems.0.source.sise=8"], ["sise", "size"]),
        ("smoke", ["problems.0.wrappers.0.shots=0"], ["shots", "0"]),
        ("smoke", ["problems.5.label=x"], ["0 to 0", "problems.5"]),
        ("smoke", ["problems.0.label=a/b"], ["label", "a/b"]),
        ("smoke", ["problems=[]"], ["problems"]),
        ("smoke", ["problems=[digit]"], ["one of the recipe's", "digit", "did you mean"]),
        ("smoke", ["methods=[plane]"], ["no method of that name", "plane", "did you mean `plain`"]),
        ("git_stroke", ["methods=[drs, oracle-tai]"], ["no method of that name", "oracle-tai"]),
        ("git_stroke", ["methods=[oracle]"], ["by their labels", "oracle-tail, wrong-tail", "{name: oracle}"]),
    ],
)
def test_each_fault_is_one_message(source: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        configuration.load(source, overrides)
    message = str(caught.value)
    assert all(word in message for word in words), message


def test_all_faults_at_once() -> None:
    with pytest.raises(UserError) as caught:
        configuration.load("smoke", ["budget=-1", "horizon=0", "nonsense=1"])
    assert all(word in str(caught.value) for word in ("budget", "horizon", "nonsense"))


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file that exists"):
        configuration.load("smoke", modules=[tmp_path / "none.py"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name", ["import without an error", "nothing_of_that_name"]),
        ("def f(:", ["import without an error", "SyntaxError"]),
        (
            "from typing import ClassVar\nfrom spaces.domain import Space\nfrom trainables.method import MethodConfig\n"
            "class C(MethodConfig):\n    name: ClassVar[str] = 'plain'\n    space: ClassVar[Space] = Space({})\n",
            ["house", "plain"],
        ),
    ],
)
def test_a_bad_plugin(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "lab.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        configuration.load("smoke", modules=[path])
    assert all(word in str(caught.value) for word in words), str(caught.value)


# What may change when a sweep goes on


def resumed(**overrides: object) -> dict[str, object]:
    return {"kind": "resumed", "overrides": overrides}


def test_limits_may_be_raised_and_stay_raised() -> None:
    frozen = configuration.load("smoke", ["limits.flops=1e12", "limits.trials=5"])
    raised, told = configuration.overridden(frozen, [], ["limits.flops=2e12", "retries.died=7"])
    assert (raised.limits.flops, raised.limits.trials, raised.retries.died) == (2e12, 5, 7)
    assert told == {"limits.flops": 2e12, "retries.died": 7}
    later, nothing = configuration.overridden(frozen, [resumed(**told)], [])
    assert later == raised and nothing == {}
    again, told = configuration.overridden(frozen, [resumed(**{"limits.flops": 2e12})], ["limits.flops=null"])
    assert (again.limits.flops, again.limits.trials) == (None, 5) and told == {"limits.flops": None}


def test_the_latest_word_counts() -> None:
    frozen = configuration.load("smoke", ["limits.flops=1e12"])
    events = [resumed(**{"limits.flops": 5e12}), resumed(limits={}), resumed()]
    assert configuration.overridden(frozen, events, [])[0].limits.flops is None
    assert configuration.overridden(frozen, events[::-1], [])[0].limits.flops == 5e12
    for word, flops in (("limits.flops=7e12", 7e12), ("limits={}", None)):  # the new word is the latest
        for earlier in (events, events[::-1]):
            assert configuration.overridden(frozen, earlier, [word])[0].limits.flops == flops


@pytest.mark.parametrize("override", ["budget=3", "methods.0.limits.flops=1", "seed=1", "limitss.flops=1"])
def test_what_decisions_depend_on_may_not_change(override: str) -> None:
    with pytest.raises(UserError, match="limits, price_per_device_hour") as caught:
        configuration.overridden(configuration.load("smoke"), [], [override])
    assert override in str(caught.value)


def test_a_limit_out_of_its_domain_is_told() -> None:
    with pytest.raises(UserError, match="flops"):
        configuration.overridden(configuration.load("smoke"), [], ["limits.flops=-1"])
    with pytest.raises(UserError, match="did you mean `flops`"):
        configuration.overridden(configuration.load("smoke"), [], ["limits.flop=1"])

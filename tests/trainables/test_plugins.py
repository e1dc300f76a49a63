"""A user's own file: what it offers is found, a changed one is noticed, a house name stays the house's."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import ClassVar

import pytest
import torch

from spaces.domain import Space
from tests.support.trials import assignment, finish
from tracking.errors import UserError
from trainables import plugins
from trainables.harness import Harness
from trainables.method import MethodConfig
from trainables.plugins import PluginFile
from trainables.problems.dataset import SourceConfig, WrapperConfig
from trainables.problems.discovery import Part
from trainables.problems.discovery import config_class as problem_part

Write = Callable[..., PluginFile]

METHOD = """
    from typing import ClassVar
    from spaces.domain import Space
    from trainables.methods.plain import Config

    class Mine(Config):
        name: ClassVar[str] = "{name}"
        space: ClassVar[Space] = Space({{}})
        batch_size: int = {batch}
"""
PARTS = """
    from typing import ClassVar
    from trainables.method import MethodConfig
    from trainables.problems.dataset import SourceConfig, WrapperConfig
    from trainables.problems.digits import Config as Digits

    class Source(SourceConfig):
        name: ClassVar[str] = "plug_source"

    class Wrapper(WrapperConfig):
        name: ClassVar[str] = "plug_wrapper"

    class Nameless(MethodConfig):
        pass

    class Inherits(Source):
        pass
"""
NETWORK = """
    from torch import nn

    def linear(shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], outputs))

    NETWORKS = {{"{name}": linear}}
"""


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Forget the modules that a test loads."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(plugins.PREFIX):
            del sys.modules[name]
    gc.collect()  # classes are found among the subclasses of their base as long as they live


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file `lab.py` (or another name) with this text."""

    def made(text: str, file: str = "lab.py", **fields: object) -> PluginFile:
        path = tmp_path / file
        path.write_text(dedent(text.format(**fields)))
        return PluginFile.of(path)

    return made


def test_a_method_is_found_by_its_name(write: Write) -> None:
    file = write(METHOD, name="mine_by_path", batch=4)
    with pytest.raises(UserError, match="mine_by_path"):
        plugins.method_config("mine_by_path")
    plugins.load([file])
    assert plugins.method_config("mine_by_path")().model_dump()["batch_size"] == 4
    assert "mine_by_path" in plugins.method_names()
    assert plugins.method_config("plain").__module__ == "trainables.methods.plain"


def test_an_assignment_brings_its_plugins_along(tmp_path: Path, write: Write) -> None:
    """JSON to a process that knows nothing but the path; the trial runs, on a network of the user's."""
    method, network = write(METHOD, name="mine_far", batch=4), write(NETWORK, "net.py", name="net_far")
    template = assignment(tmp_path, "plain", network="mlp")
    protocol = template.protocol.model_copy(update={
        "plugins": (*template.protocol.plugins, method, network), "network": "net_far",
    })
    sent = template.model_copy(update={"method": "mine_far", "protocol": protocol}).model_dump_json()
    assert plugins.PREFIX + method.digest[:16] not in sys.modules
    received = type(template).model_validate_json(sent)
    trial = Harness(received)
    assert [type(layer).__name__ for layer in trial.method.trunk.network] == ["Flatten", "Linear"]  # type: ignore[attr-defined]
    assert trial.config.model_dump()["batch_size"] == 8  # the settings', over the default
    assert finish(trial)[-1].status == "complete"


def test_what_a_module_offers(write: Write) -> None:
    """Classes that it defines and that set `name` themselves; not imported, nameless or inheriting ones."""
    (module,) = plugins.load([write(PARTS)])
    assert set(plugins.offered(module)) == {"plug_source", "plug_wrapper"}
    assert issubclass(problem_part("plug_source", Part.SOURCE), SourceConfig)
    assert issubclass(problem_part("plug_wrapper", Part.WRAPPER), WrapperConfig)
    with pytest.raises(UserError, match="known source"):
        problem_part("plug_wrapper", Part.SOURCE)


def test_a_file_is_imported_once(write: Write) -> None:
    file = write(METHOD, name="mine_once", batch=4)
    (first,), (second,) = plugins.load([file]), plugins.load([file])
    assert first is second


def test_a_changed_file_is_refused(write: Write) -> None:
    """A sweep that began with one file does not go on with another; the unchanged one is the control."""
    began = write(METHOD, name="mine_changed", batch=4)
    write(METHOD, name="mine_changed", batch=5)
    with pytest.raises(UserError, match="may not change within a sweep") as caught:
        plugins.load([began])
    assert caught.value.hint
    write(METHOD, name="mine_changed", batch=4)
    plugins.load([began])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (METHOD, "plain"),
        (PARTS.replace("plug_source", "digits"), "digits"),
        (PARTS.replace("plug_wrapper", "few_shot"), "few_shot"),
        (NETWORK, "small_cnn"),
    ],
)
def test_a_house_name_is_refused(write: Write, text: str, name: str) -> None:
    """Method, source, wrapper, network; nothing of the file stays behind."""
    with pytest.raises(UserError, match="name of a house method") as caught:
        plugins.load([write(text, name=name, batch=4)])
    assert name in caught.value.got
    plugins.load([write(METHOD, name="mine_after_refusal", batch=4)])
    assert plugins.method_config("plain").__module__ == "trainables.methods.plain"
    assert plugins.network_builder("small_cnn").__module__ == "trainables.modules.networks"


@pytest.mark.parametrize(("text", "name"), [(METHOD, "mine_twice"), (NETWORK, "net_twice")])
def test_two_files_may_not_offer_the_same_name(write: Write, text: str, name: str) -> None:
    """Which of two would be meant? Also the old and the new version of one file, within one process."""
    plugins.load([write(text, "one.py", name=name, batch=4)])
    with pytest.raises(UserError, match="two plug-ins") as caught:
        plugins.load([write(text + "\n    # another version\n", "two.py", name=name, batch=5)])
    assert name in caught.value.got


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    import nowhere_at_all", "ModuleNotFoundError"), ("    def (:", "SyntaxError"), ("    1 / 0", "division"),
        ("    raise SystemExit(0)", "SystemExit"),  # a script without a guard
    ],
)
def test_a_file_that_cannot_be_imported(write: Write, text: str, words: str) -> None:
    file = write(text)
    for _ in range(2):  # no half-made module stays behind
        with pytest.raises(UserError, match=words):
            plugins.load([file])


@pytest.mark.parametrize(("change", "words"), [
    ("", ""),
    ("NETWORKS = {{'mine_odd': print}}", ""),  # another kind of thing
    ("class Other(Config):\n        name: ClassVar[str] = 'mine_odd'", "names of their own"),
    ("NETWORKS = {{1: print}}", "are text"),
    ("class Other(Config):\n        name: ClassVar[str] = 'other'\n        space: ClassVar = {{'batch_size': 3}}",
     "`space` is a Space"),
    ("from spaces.domain import Float\n    class Other(Config):\n        name: ClassVar[str] = 'other'\n"
     "        space: ClassVar[Space] = Space({{'batch_sise': Float(low=0, high=1)}})", "did you mean `batch_size`"),
    ("from trainables.method import MethodConfig\n    class Other(MethodConfig):\n"
     "        name: ClassVar[str] = 'other'",
     "NoneType of `other`"),
])
def test_what_no_search_could_use_is_refused_at_once(write: Write, change: str, words: str) -> None:
    file = write(METHOD + "    " + change + "\n", name="mine_odd", batch=4)
    if not words:  # the control
        assert plugins.load([file])
        return
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            plugins.load([file])
        assert words in str(caught.value) and "lab.py" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists"):
        PluginFile.of(tmp_path / "nowhere.py")
    (tmp_path / "text.txt").write_text("NETWORKS = {}")
    with pytest.raises(UserError, match=r"\.py"):
        plugins.load([PluginFile.of(tmp_path / "text.txt")])


def test_networks_by_name(write: Write) -> None:
    plugins.load([write(NETWORK, name="net_by_name")])
    module = plugins.network_builder("net_by_name")((1, 4, 4), 3)
    assert module(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    assert plugins.network_builder("mlp")((1, 4, 4), 3)(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(UserError, match="did you mean `net_by_name`"):
        plugins.network_builder("net_by_nam")


def test_an_unknown_method_is_told_the_nearest(write: Write) -> None:
    plugins.load([write(METHOD, name="mine_nearest", batch=4)])
    with pytest.raises(UserError, match="did you mean `mine_nearest`"):
        plugins.method_config("mine_neares")


@pytest.mark.parametrize("name", ["", "mlp", "plain"])
def test_an_installed_package_takes_no_house_name_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No name: a module that cannot be imported."""
    entry = EntryPoint("theirs", "some_broken_package", plugins.ENTRY_POINTS)
    if name:
        module = ModuleType(entry.module)
        module.NETWORKS = {name: print}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    plugins._installed.cache_clear()
    try:
        with pytest.raises(UserError, match="house" if name else "mend or uninstall"):
            plugins.method_names()
    finally:
        plugins._installed.cache_clear()


def test_an_installed_package_offers_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("some_package_of_theirs")

    class Theirs(MethodConfig):
        name: ClassVar[str] = "theirs"
        space: ClassVar[Space] = Space({})

    Theirs.__module__ = module.__name__
    module.Theirs = Theirs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = EntryPoint("theirs", module.__name__, plugins.ENTRY_POINTS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == plugins.ENTRY_POINTS else [])
    plugins._installed.cache_clear()
    try:
        assert plugins.method_config("theirs") is Theirs
    finally:
        plugins._installed.cache_clear()


def test_the_code_of_an_installed_package_is_remembered_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_theirs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text("WIDTH = 8\n")
    (package / "lab.py").write_text("NETWORKS = {'their_network': print}\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("theirs", f"{package.name}.lab", plugins.ENTRY_POINTS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])

    def code(*names: str) -> dict[str, str]:
        """As a new process finds it."""
        plugins._installed.cache_clear()
        plugins._package_digest.cache_clear()
        return plugins.installed_code(names)

    try:
        began = code("their_network", "plain")
        assert list(began) == [entry.module] and code("their_network") == began and code("plain") == {}
        (package / "parts.py").write_text("WIDTH = 9\n")  # what the entry point's own file imports counts too
        changed = code("their_network")
        (package / "notes.txt").touch()
        assert changed != began and code("their_network") == changed
    finally:
        plugins._installed.cache_clear()
        for name in (entry.module, package.name):
            sys.modules.pop(name, None)

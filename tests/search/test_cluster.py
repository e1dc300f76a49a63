"""Connecting to Ray, what its nodes have room for, and where trials go; several nodes are in `tests/deploy`."""

from __future__ import annotations

import socket
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import cluster, nodes, placement, runner
from search.cluster import Connection, Room
from search.settings import Placement, Resources
from search.shared_storage import sign
from search.sweep import create
from tests.support.ray_nodes import node
from tests.support.simulation import comparison
from tracking.errors import StartError, UserError
from tracking.journal import Journal
from tracking.storage import Place

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two nodes of four CPUs, of which one has a GPU, and one of two CPUs."""
    known = [node(1, CPU=4.0), node(2, CPU=4.0, GPU=1.0, fast=1.0), node(3, CPU=2.0)]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: known)
    return known


def test_what_fits_is_counted_per_node(three: list[dict[str, Any]]) -> None:
    assert cluster.slots(Resources()) == 10
    assert cluster.slots(Resources(cpus=3)) == 2  # 10 CPUs, but no third node with three
    assert cluster.slots(Resources(cpus=0.1)) == 100
    assert cluster.slots(Resources(gpus=0.25)) == 4
    assert cluster.slots(Resources(gpus=0.25, custom={"fast": 0.5})) == 2
    three[1]["Alive"] = False
    assert cluster.slots(Resources()) == 6
    assert cluster.fitting(Resources(gpus=0.25)) == 0


@pytest.mark.parametrize("asked", [Resources(cpus=5), Resources(gpus=2), Resources(custom={"slow": 1})])
def test_what_does_not_fit_is_told_with_what_there_is(three: list[dict[str, Any]], asked: Resources) -> None:
    with pytest.raises(UserError, match="one node must have") as told:
        cluster.slots(asked)
    text = str(told.value)
    assert all(f"{amount:g} {name}" in text for name, amount in asked.asked().items())
    assert "1 x (4 CPU)" in text and "1 x (4 CPU, 1 GPU, 1 fast)" in text and "10.0.0" not in text


def test_a_node_that_left_is_waited_for_and_then_told(three: list[dict[str, Any]]) -> None:
    now = [0.0]
    room = Room(Resources(gpus=1), 20.0, lambda: now[0])
    assert room() == 1
    three[1]["Alive"] = False
    assert room() == 0
    now[0] = 19.0
    assert room() == 0
    three[1]["Alive"] = True  # it came back, so its next absence is a new one
    assert room() == 1
    three[1]["Alive"] = False
    now[0] = 30.0
    assert room() == 0
    now[0] = 51.0
    with pytest.raises(StartError, match="1 GPU") as told:
        room()
    assert "`invsearch resume` goes on" in told.value.hint


class Groups:
    """Ray's table of placement groups."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table: dict[str, dict[str, Any]] = {}
        self.now = 0.0
        occupancy = placement.Occupancy(placement.ray.nodes, lambda: self.table, lambda: self.now)
        monkeypatch.setattr(placement, "_occupancy", lambda address: occupancy)
        monkeypatch.setattr(placement.ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="here"))

        def made(bundles: list[dict[str, float]], strategy: str, _soft_target_node_id: str) -> Any:
            assert strategy == "STRICT_PACK"  # else Ray refuses the target
            name = f"group{len(self.table)}"
            self.table[name] = {"state": "PENDING", "bundles": {0: bundles[0]}, "bundles_to_node_id": {0: ""}}
            self.went.append(int(_soft_target_node_id, 16))
            return SimpleNamespace(id=SimpleNamespace(hex=lambda: name))

        monkeypatch.setattr(placement, "placement_group", made)
        self.went: list[int] = []


def test_packing_fills_node_after_node(three: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when Ray has not told of any group yet where it is; nodes without a GPU go first."""
    groups = Groups(monkeypatch)
    packed = cluster.placement(Resources(placement=Placement.PACK))
    for _ in range(10):
        packed.to_placement_group()
    assert groups.went == [3, 3, 1, 1, 1, 1, 2, 2, 2, 2]
    groups.table["group2"]["state"] = "REMOVED"  # one on node 1
    groups.now += 1
    packed.to_placement_group()
    assert groups.went[-1] == 1


def test_what_packing_has_no_room_for_is_left_to_ray(
    three: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = Groups(monkeypatch)
    packed = cluster.placement(Resources(cpus=5))
    monkeypatch.setattr(placement.tune.PlacementGroupFactory, "to_placement_group", lambda self: "Ray's own")
    assert packed.to_placement_group() == "Ray's own" and not groups.went


def test_equal_requests_are_one_to_tune() -> None:
    """Workers are reused by request; SPREAD is another one, and needs nothing of ours."""
    pack, spread = Resources(), Resources(placement=Placement.SPREAD)
    assert cluster.placement(pack) == cluster.placement(pack)
    assert hash(cluster.placement(pack)) == hash(cluster.placement(pack))
    assert cluster.placement(pack) != cluster.placement(spread)
    assert type(cluster.placement(spread)) is placement.tune.PlacementGroupFactory
    assert cluster.placement(spread).required_resources == {"CPU": 1.0}


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ray had not been started; starting it would fail the test."""
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", lambda **options: pytest.fail("Ray was started"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_an_address_where_nobody_listens(no_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can listen there either
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=address):
            cluster.start(Connection(address=address))
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=address):
            cluster.start(Connection())


def test_an_address_is_tried_before_data_are_prepared(
    no_session: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runner, "prepare", lambda comparison: pytest.fail("data were prepared"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Connection(address=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(UserError, match=str(nobody.address)):
            runner.compare(comparison(), tmp_path / "mine", connection=nobody)
        made = create(Place.of(tmp_path / "begun"), comparison())
        with Journal(made.place) as journal:
            journal.append("sweep", comparison=comparison().model_dump(mode="json"))
        with pytest.raises(UserError, match=str(nobody.address)):
            runner.resume(made, connection=nobody)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "http://127.0.0.1:8265"])
def test_urls_are_for_other_things(no_session: None, address: str) -> None:
    with pytest.raises(UserError, match="a URL is for"):
        cluster.start(Connection(address=address))


def test_slots_of_a_running_cluster_are_its_own(no_session: None) -> None:
    with pytest.raises(UserError, match="--cpus is for"):
        cluster.start(Connection(address="auto", cpus=2))


def test_tokens_are_explained_where_ray_refuses(no_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**options: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster\nsecond line")

    monkeypatch.setattr(cluster.ray, "init", refused)
    with pytest.raises(UserError, match="RAY_AUTH_TOKEN") as told:
        cluster.start(Connection(address="auto"))
    assert "second line" not in str(told.value)


@pytest.mark.parametrize(
    "error",
    [Exception("The current node timed out\nsecond line"), TimeoutError("The current node timed out"),
     RuntimeError("The current node timed out"), OSError(28, "The current node timed out")],
)
def test_a_local_ray_that_does_not_start_is_no_mistake_of_the_users(
    no_session: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(**options: Any) -> None:
        raise error

    monkeypatch.setattr(cluster.ray, "init", failing)
    with pytest.raises(StartError, match="Ray must start on this machine") as told:
        cluster.start(Connection())
    assert "The current node timed out" in told.value.got and "second line" not in str(told.value)
    assert "hint:" in str(told.value) and told.value.__cause__ is None
    with pytest.raises(UserError, match="running Ray cluster"):  # of a cluster, the address may be wrong
        cluster.start(Connection(address="auto"))


def test_only_the_four_packages_are_shipped(tmp_path: Path) -> None:
    with Connection(working_dir=ROOT).shipped() as environment:
        folder = Path(environment["working_dir"])
        assert sorted(path.name for path in folder.iterdir()) == ["search", "spaces", "tracking", "trainables"]
        assert not list(folder.rglob("__pycache__"))
        assert (folder / "search" / "cli.py").read_bytes() == (ROOT / "search" / "cli.py").read_bytes()
    assert not folder.exists()
    wheel = tmp_path / "invsearch-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("search/__init__.py", "")
    shipping = Connection(wheel=wheel, env_vars={"A": "1"})
    shipping.check()
    with shipping.shipped() as environment:
        assert environment["env_vars"] == {"A": "1"}
        assert (Path(environment["working_dir"]) / "search" / "__init__.py").is_file()
    with Connection().shipped() as environment:
        assert environment == {}


def test_what_cannot_be_shipped_is_told(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    with pytest.raises(UserError, match="without search, trainables, spaces, tracking"):
        Connection(working_dir=tmp_path).check()
    with pytest.raises(UserError, match="must be a wheel"):
        Connection(wheel=tmp_path / "absent.whl").check()
    with pytest.raises(UserError, match="shipped once"):
        Connection(working_dir=ROOT, wheel=ROOT / "pyproject.toml").check()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_local_ray_listens_on_loopback_alone(ray_session: None) -> None:
    import psutil  # Ray brings it along

    def beyond(address: str) -> bool:
        return address.removeprefix("::ffff:") not in ("127.0.0.1", "::1")

    assert beyond("0.0.0.0") and beyond("::") and beyond("10.0.0.1")
    listening = [
        connection.laddr.ip
        for process in psutil.Process().children(recursive=True)
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        for connection in process.net_connections() if connection.status == "LISTEN"
    ]
    assert len(listening) > 3
    assert not [address for address in listening if beyond(address)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_every_node_is_asked(ray_session: None) -> None:
    assert list(nodes.ask(nodes.inventory).values()) == [nodes.inventory()]
    (failure,) = nodes.ask(sign, "gs:///no-bucket", "word").values()
    assert isinstance(failure, UserError)
    (clock,) = nodes.clocks().values()
    assert abs(clock.ahead_seconds) <= 2 * clock.known_to_seconds + 0.01  # it is the same clock

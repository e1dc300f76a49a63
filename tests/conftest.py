"""One Ray session for all tests that need one, and a data cache of the tests' own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracking.storage import Place


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared data are shared by the tests of a session and not with the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVSEARCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URI of a bucket of a local S3, with "{}" where the folder goes."""
    from tests.support.object_store import local_s3

    with local_s3() as uri:
        yield uri


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of the test's own, on either kind of storage; the quick suite takes `both` now and then."""
    if request.param == "local":
        made = Place.of(tmp_path / "place")
        (tmp_path / "place").mkdir()
        return made
    return Place.of(request.getfixturevalue("s3").format(f"{tmp_path.name}-{uuid.uuid4().hex[:8]}"))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Two slots on this machine."""
    import ray

    from search import cluster

    cluster.start(cluster.Connection(cpus=2))
    yield
    ray.shutdown()

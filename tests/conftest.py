"""One Ray session for all tests that need one, and a data cache of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared data are shared by the tests of a session and not with the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVSEARCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Two slots on this machine."""
    import ray

    from search import cluster

    cluster.start(None, cpus=2)
    yield
    ray.shutdown()

"""What several slow tests hold their own sweeps against."""

from __future__ import annotations

import pytest

from search import runner
from tests.support.drivers import toy
from tracking.journal import Event


@pytest.fixture(scope="session")
def alone(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The journal of the toy sweep, undisturbed."""
    return runner.compare(toy(), tmp_path_factory.mktemp("alone") / "alone").sweep.events()

"""A row with a network of its own: it alone trains it, and everything else stays the comparison's."""

from __future__ import annotations

from pathlib import Path

import pytest

from search import configuration
from search.course import Asked
from search.estimate import estimate
from search.jobs import UNIT_ROW, Jobs
from search.study import Comparison
from search.timed_probe import Measured
from search.wanted import Wanted
from search.warm_start import _same_method
from tests.support.simulation import comparison
from tracking.errors import UserError
from tracking.record import Stage
from tracking.storage import Place
from trainables.problems.spec import ProblemSpec

ROWS = [{"name": "plain"}, {"name": "plain", "label": "wide", "network": "conv4"}]


def networks(described: Comparison, tmp_path: Path) -> dict[str, str]:
    jobs = Jobs(described, Place.of(str(tmp_path)), None, Wanted())
    asked = Asked("uid", Stage.TUNE, 0, {})
    return {row: jobs.assignment("one", row, "plain", asked).protocol.network for row in ("plain", "wide", UNIT_ROW)}


def test_only_the_row_that_names_a_network_trains_it(tmp_path: Path) -> None:
    found = networks(comparison(methods=ROWS, network="mlp"), tmp_path)
    assert found == {"plain": "mlp", "wide": "conv4", UNIT_ROW: "mlp"}


def test_an_unknown_network_of_a_row_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"(?s)conv5.*did you mean `conv4`"):
        configuration.validate({
            "problems": [{"label": "one", "source": {"name": "digits"}}],
            "methods": [{"name": "plain", "network": "conv5"}],
        })


def test_what_a_row_asks_of_a_problem_is_asked_with_its_own_network(tmp_path: Path) -> None:
    """conv4 needs images; the comparison's mlp takes anything. Only the row that names conv4 is refused."""
    described = comparison(methods=[
        {"name": "maml", "settings": {"architecture": "network"}},
        {"name": "maml", "label": "images", "network": "conv4", "settings": {"architecture": "network"}},
    ], problems=[{"label": "one", "source": {"name": "layers", "layer": "rank1", "tasks": 100}}], network="mlp")
    problem = described.problems[0].build(0, 0, tmp_path).view()
    described.methods[0].fits(problem, described.network)
    with pytest.raises(UserError, match="conv4 needs images"):
        described.methods[1].fits(problem, described.network)


def test_a_row_is_estimated_with_its_own_network(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def spy(described: Comparison, problem: ProblemSpec, method: str, *_: object) -> Measured:
        asked.append((method, described.network))
        raise RuntimeError("enough")

    estimate(comparison(methods=ROWS, network="mlp"), 1, tmp_path, spy)
    assert asked[:2] == [("plain", "mlp"), ("plain", "conv4")]


def test_observations_on_another_network_are_no_warm_start() -> None:
    plain, wide = comparison(methods=ROWS).methods
    assert _same_method(plain, {"name": "plain", "settings": {}})
    assert not _same_method(wide, {"name": "plain", "settings": {}})
    assert _same_method(wide, {"name": "plain", "settings": {}, "network": "conv4"})

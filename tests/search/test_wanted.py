"""What is asked of an artefact's source before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from search.wanted import Wanted, check_sources, wanted_of
from tests.support.simulation import comparison
from tracking.errors import UserError
from trainables.artefact import ArtefactSpec
from trainables.problems.spec import ProblemSpec


def wanted(**settings: Any) -> Wanted:
    source = ProblemSpec.model_validate({"label": "toy", "source": {"name": "digits", "size": 8}})
    spec = ArtefactSpec(maker="amortised_extractor", settings=settings, source=source)
    return Wanted({spec.key(): spec}, {})


def test_a_maker_is_asked_whether_it_can_learn_from_its_source() -> None:
    check_sources(wanted(factors=["rotation"]), workers=1)
    with pytest.raises(UserError, match="`colour` needs three channels"):
        check_sources(wanted(factors=["colour"]), workers=1)


def test_a_maker_is_asked_whether_its_work_can_be_shared() -> None:
    check_sources(wanted(groups=6), workers=3)
    with pytest.raises(UserError, match="must divide `groups`"):
        check_sources(wanted(groups=6), workers=4)


@pytest.mark.parametrize(("row", "words"), [
    ({"name": "git", "settings": {"generator": {"settings": {"updates": 9}}}}, ["generator.updates` is no field"]),
    ({"name": "git", "settings": {"generator": {"settings": {"horizon": -1}}}}, ["`style_generator.horizon`", "-1"]),
])
def test_what_a_row_sets_of_an_artefact_is_refused_in_one_message(row: dict[str, Any], words: list[str]) -> None:
    source = {"label": "toy", "source": {"name": "digits", "size": 8}}
    made = comparison(problems=[source], methods=[{"name": "plain"}, row])
    with pytest.raises(UserError) as caught:
        wanted_of(made)
    message = str(caught.value)
    assert all(word in message for word in ["`git` on `toy`", *words]), message
    assert "pydantic" not in message and "validation error" not in message

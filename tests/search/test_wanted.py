"""What is asked of an artefact's source before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from search.wanted import Wanted, check_sources
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

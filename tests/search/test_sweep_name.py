"""What a sweep may be called, and what it is called where nobody says."""

from __future__ import annotations

import pytest

from search.sweep_name import check_name, fresh_name
from tracking.errors import UserError


def test_fresh_names_are_names() -> None:
    check_name(fresh_name("digits"))
    assert len({fresh_name("digits") for _ in range(3)}) == 3, "of sweeps that are launched in the same second"
    for name in ("../up", ".hidden", ""):
        with pytest.raises(UserError):
            check_name(name)

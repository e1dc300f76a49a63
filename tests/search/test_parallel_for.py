"""How many trials of one study run side by side where the user left it open."""

from __future__ import annotations

import pytest

from search.study import parallel_for


@pytest.mark.parametrize(("slots", "studies", "expected"), [
    (1, 1, 1), (2, 8, 1), (8, 8, 1),                 # a study for every slot: deterministic
    (9, 8, 2), (16, 8, 2), (17, 8, 3), (1000, 1, 1000),
])
def test_known_answers(slots: int, studies: int, expected: int) -> None:
    assert parallel_for(slots, studies) == expected


@pytest.mark.parametrize("studies", [1, 3, 40])
def test_no_slot_stays_empty_and_nothing_is_asked_in_excess(studies: int) -> None:
    for slots in range(1, 200):
        parallel = parallel_for(slots, studies)
        assert parallel * studies >= min(slots, studies) and (parallel - 1) * studies < slots

"""Population based augmentation: a line of trials is one training, policies change where they should, files say so."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spaces.policies import Policy
from spaces.transforms import Operation
from tests.support.trials import assignment, finish
from tracking.errors import UserError
from trainables.assignment import Assignment
from trainables.contract_toy import toy_context
from trainables.harness import Harness
from trainables.inheritance import InheritanceError
from trainables.methods import pba
from trainables.modules.genes import Slot

NONE, TURN = (
    {Operation.ROTATION.value: {"probability": p, "level": 9}, Operation.SCALE.value: {"probability": 0, "level": 0}}
    for p in (0, 10)
)
SPACE = {"operations": [Operation.ROTATION.value, Operation.SCALE.value], "batch_size": 8}


def member(folder: Path, schedule: list[Any], uid: str, **changes: Any) -> Harness:
    settings = {**SPACE, "generations": 3, "schedule": schedule}
    described: Assignment = assignment(folder / uid, "pba", settings=settings, uid=f"toy/pba/{uid}", **changes)
    return Harness(described)


def weights(harness: Harness) -> torch.Tensor:
    return torch.cat([value.flatten() for value in harness.method.state_dict()["trunk"]["network"].values()])


def test_a_line_of_trials_is_bit_for_bit_the_training_of_its_schedule(tmp_path: Path) -> None:
    lines = [str(tmp_path / "lines" / name) for name in ("one", "two")]
    schedule = [NONE, TURN, NONE]
    first = member(tmp_path, schedule[:1], "one", bequest=lines[0])
    finish(first)
    second = member(tmp_path, schedule[:2], "two", bequest=lines[1], inherited=lines[0])
    finish(second)
    third = member(tmp_path, schedule, "three", inherited=lines[1])
    reports = finish(third)
    whole = member(tmp_path, schedule, "whole")
    finish(whole)
    assert torch.equal(weights(third), weights(whole))
    other = member(tmp_path, [NONE, NONE, NONE], "other")
    finish(other)
    assert not torch.equal(weights(other), weights(whole)), "the policy of the second generation matters"
    spent = [h.meter.ledger().metrics()["cost/examples"] for h in (first, second, third)]
    assert spent == [16, 16, 16], "each trial has paid for its own generation"
    assert any(name.startswith("invariance/") for name in reports[-1].metrics), "measured where the line ends"


def test_a_member_that_is_not_the_last_is_not_probed_for_invariance(tmp_path: Path) -> None:
    reports = finish(member(tmp_path, [NONE], "one", bequest=str(tmp_path / "line")))
    assert not any(name.startswith("invariance/") for name in reports[-1].metrics)


def test_a_trial_goes_on_from_its_own_checkpoint_before_that_of_its_parent(tmp_path: Path) -> None:
    line = str(tmp_path / "line")
    finish(member(tmp_path, [NONE], "one", bequest=line, checkpoint_seconds=0.0))
    fields = {"inherited": line, "checkpoint_seconds": 0.0}
    begun = member(tmp_path, [NONE, TURN, TURN], "two", **fields)
    begun.advance()
    begun.save()
    resumed = member(tmp_path, [NONE, TURN, TURN], "two", known=1, **fields)
    assert resumed.method.state_dict()["trunk"]["cursor"] == 4
    finish(resumed)
    alone = member(tmp_path, [NONE, TURN, TURN], "three", inherited=line)
    finish(alone)
    assert torch.equal(weights(resumed), weights(alone))


@pytest.mark.parametrize("damage", ["missing", "garbage", "another network"])
def test_a_state_that_cannot_be_gone_on_from_fails_the_trial(tmp_path: Path, damage: str) -> None:
    line = tmp_path / "line"
    if damage == "another network":
        finish(member(tmp_path, [NONE], "one", bequest=str(line), network="small_cnn"))
    elif damage == "garbage":
        line.mkdir()
        (line / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(InheritanceError, match="the state of the trial before"):
        member(tmp_path, [NONE, TURN], "two", inherited=str(line))


def test_every_update_goes_through_the_policy_of_its_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    draw = Policy.draw

    def noted(self: Policy, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(self.entries[0].magnitude)
        return draw(self, x, generator)

    monkeypatch.setattr(Policy, "draw", noted)
    levels = (1, 2, 3)
    schedule = tuple({Operation.ROTATION: Slot(probability=5, level=level)} for level in levels)
    config = pba.Config(operations=(Operation.ROTATION,), schedule=schedule, generations=4)
    method = config.build(replace(toy_context(), horizon=10, slice_updates=3))
    while not method.step().done:
        pass
    assert Counter(round(9 * r) for r in seen) == {1: 3, 2: 2, 3: 3}  # of 10 updates in 4 parts; the last is not there
    assert seen == sorted(seen)


def test_files_tell_the_schedule(tmp_path: Path) -> None:
    config = pba.Config.model_validate({**SPACE, "generations": 2, "schedule": [NONE, TURN]})
    method = config.build(toy_context())
    files = method.export(tmp_path)  # type: ignore[attr-defined]
    assert json.loads((tmp_path / files["schedule"]).read_text()) == [NONE, TURN]
    assert "| rotation | 0 / 9 | 10 / 9 |" in (tmp_path / files["schedule_table"]).read_text()
    assert (tmp_path / files["pipeline"]).exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generations": 1, "schedule": [NONE, TURN]}, "`generations` policies at most"),
        ({"operations": ["rotation"], "schedule": [NONE]}, "rotation, scale instead of rotation"),
        ({"operations": ["rotation", "scale", "shear_x"], "schedule": [NONE]}, "all operations of the space"),
        ({"schedule": [{"rotation": {"probability": 11, "level": 0}}]}, "less than or equal to 10"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pba.Config.model_validate({**SPACE, **fields})


def test_a_generation_without_an_update_is_refused() -> None:
    config = pba.Config.model_validate({**SPACE, "generations": 50, "schedule": [NONE]})
    with pytest.raises(UserError, match="every generation needs an update"):
        config.build(replace(toy_context(), horizon=49))

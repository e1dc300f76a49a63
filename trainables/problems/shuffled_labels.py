"""A null control: labels that say nothing about their inputs, in the splits that are named."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field, field_validator

from tracking.errors import UserError
from trainables.problems.dataset import Dataset, WrapperConfig
from trainables.problems.problem import Kind, Split


class Config(WrapperConfig):
    """Labels of some splits are permuted among their examples: whatever is found by them is chance.

    It is done once the pool is divided, so that splits stay disjoint, and each keeps how many it has of every class.
    By default all that is held out from the inner training is shuffled. Final trainings are on train + outer, so a part
    of their labels is false then; with `on: [select]` only what tuning goes by is, which is the null of black boxes.

    Args:
        on: of train, outer and select, which are shuffled.
    """

    name: ClassVar[str] = "shuffled_labels"

    on: tuple[Split, ...] = Field(default=(Split.OUTER, Split.SELECT), min_length=1)

    @field_validator("on")
    @classmethod
    def _learnable(cls, on: tuple[Split, ...]) -> tuple[Split, ...]:
        if Split.TEST in on:
            raise ValueError("the test set is what everything is judged by: its labels stay")
        return on

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        if dataset.kind is Kind.EPISODIC:
            raise UserError("shuffled_labels permutes labels of single examples", "a problem made of tasks")
        return replace(dataset, shuffled={**dataset.shuffled, **dict.fromkeys(self.on, seed)})

"""Steps made by hand: vectors, keys, and a second set of vectors as a teacher's or as another language's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mixlingua.losses.base import StepInputs, ViewVectors


def unit_rows(rows: int, seed: int, dim: int = 5) -> Tensor:
    return normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def one_process(queries: Tensor, passages: Tensor, keys=None, passage_keys=None, **views) -> StepInputs:
    """The step of one process; views: name=(vectors, present) or vectors that all rows have."""
    rows = torch.arange(len(queries))
    keys = rows[:, None] if keys is None else keys
    passage_keys = torch.arange(len(passages))[:, None] if passage_keys is None else passage_keys
    for name, view in views.items():
        vectors, present = view if isinstance(view, tuple) else (view, torch.ones(len(view), dtype=torch.bool))
        views[name] = ViewVectors(vectors, present)
    return StepInputs(queries, passages, queries, passages, rows, rows, keys, keys, passage_keys, views, views)


@pytest.fixture
def vectors() -> Callable[..., Tensor]:
    return unit_rows


@pytest.fixture
def step() -> Callable[..., StepInputs]:
    return one_process

"""Rows, settings and jobs with the translator of fakes.py."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fakes import LetterTranslator

from mixlingua.translation.gate import Gate
from mixlingua.translation.job import Translation


@pytest.fixture
def gate() -> Callable[..., Gate]:
    return Gate


@pytest.fixture
def settings(gate: Callable[..., Gate]) -> Callable[..., Translation]:
    values = {"source": "en", "languages": ["de", "ru"], "num_beams": 2, "piece_tokens": 12, "max_growth": 3.0}
    return lambda **given: Translation(**{**values, "token_budget": 40, "gate": gate(), **given})


@pytest.fixture
def translator() -> Any:
    return LetterTranslator()

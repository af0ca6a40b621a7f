"""An encoder of a few thousand weights."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder

SETTINGS = {
    "name_or_path": "tiny", "pooling": "mean", "query_prefix": "", "passage_prefix": "",
    "max_query_length": 16, "max_passage_length": 16,
}  # fmt: skip


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(session_cache, monkeypatch) -> Path:
    """Weights made by a test stay out of the user's cache."""
    monkeypatch.setenv("MIXLINGUA_CACHE", str(session_cache))
    return session_cache


@pytest.fixture(scope="session")
def pretrained() -> Callable[..., PretrainedEncoder]:
    """The configuration of model=tiny with changes."""
    return lambda **changes: PretrainedEncoder(**(SETTINGS | changes))


@pytest.fixture(scope="session")
def folder_encoder() -> Callable[[Path | str], BiEncoder]:
    """What model=folder loads: every setting is the folder's own. In evaluation mode."""
    return lambda folder: PretrainedEncoder(str(folder)).load(0).eval()

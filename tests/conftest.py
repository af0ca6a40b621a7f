"""Fixtures for every test."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets: $MIXLINGUA_DATA, else ../shared/data beside the repository; skips where absent."""
    folder = Path(os.environ.get("MIXLINGUA_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no public data sets at {folder}; set MIXLINGUA_DATA to the folder that holds ntrex/, xquad-r/, ..."
        )
    return folder

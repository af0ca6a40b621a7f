"""Fixtures for every test."""

import io
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]

settings.register_profile("untimed", deadline=None)  # a time says more of the machine than of the code
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets: $MIXLINGUA_DATA, else ../shared/data beside the repository; skips where absent."""
    folder = Path(os.environ.get("MIXLINGUA_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no public data sets at {folder}; set MIXLINGUA_DATA to the folder that holds ntrex/, xquad-r/, ..."
        )
    return folder


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the network answers by the end of the URL; anything else is unreachable."""
    answers: dict[str, bytes] = {}

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        for end, body in answers.items():
            if url.endswith(end):
                return io.BytesIO(body)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return answers

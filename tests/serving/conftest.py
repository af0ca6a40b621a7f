"""An index of a few documents with tiny weights, and clients of the application without a network."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mixlingua.cli.main import main
from mixlingua.search.retriever import Retriever
from mixlingua.serving.app import create_app
from mixlingua.serving.settings import ServerSettings

DOCUMENTS = [
    {"id": "nile-en", "title": "Nile", "text": "Cairo lies on the Nile.", "language": "en"},
    {"id": "nile-de", "title": "Nil", "text": "Kairo liegt am Nil.", "language": "de"},
    {"id": "nile-ar", "title": "النيل", "text": "القاهرة تقع على النيل.", "language": "ar"},
    {"id": "aare-en", "title": "<b>Aare</b>", "text": "Bern: <script>alert(1)</script>", "language": "en"},
    {"id": "aare-de", "title": "Aare", "text": "Bern liegt an der Aare.", "language": "de"},
]  # fmt: skip


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an action=index."""
    place = tmp_path_factory.mktemp("served")
    (place / "docs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in DOCUMENTS), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        main(["action=index", f"corpus={place / 'docs.jsonl'}", "model=tiny", "trainer.precision=32-true",
              f"hydra.run.dir={place / 'rivers'}", "hydra/job_logging=none"])  # fmt: skip
    return place / "rivers"


@pytest.fixture(scope="session")
def retriever(index: Path) -> Retriever:
    return Retriever.load(index)


@pytest.fixture
def client(retriever: Retriever) -> Callable[..., TestClient]:
    """A client of an application with these settings."""

    def make(**settings: object) -> TestClient:
        app = create_app({"rivers": retriever}, ServerSettings(**settings))  # type: ignore[arg-type]
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return make

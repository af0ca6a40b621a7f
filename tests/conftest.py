"""Fixtures for every test."""

import io
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests.browser import NAMES, Browser
from tests.hub import LocalHub

if TYPE_CHECKING:
    from torch import Tensor

    from mixlingua.evaluation.tasks import RetrievalTask
    from mixlingua.losses.infonce import InfoNCE
    from mixlingua.model.encoder import BiEncoder
    from mixlingua.model.pretrained import PretrainedEncoder

REPOSITORY = Path(__file__).resolve().parents[1]
TEXTS = ("Wie hoch ist der Berg?", "", "ประเทศไทยมีประชากรเท่าไร", "a", "truncated " * 200)

settings.register_profile("untimed", deadline=None)  # a time says more of the machine than of the code
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of tests/e2e runs whole commands."""
    for item in items:
        if item.path.parent.name == "e2e":
            item.add_marker("whole")


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


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of all tests: what one makes, such as weights, the next ones find. The user's own is left alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXLINGUA_CACHE", str(folder))
        yield folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, tmp_path/cache, which is not there yet."""
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def pretrained() -> "Callable[..., PretrainedEncoder]":
    """The configuration of model=tiny, with texts of 16 tokens and with changes."""
    from mixlingua.model.pretrained import PretrainedEncoder

    tiny = {
        "name_or_path": "tiny", "pooling": "mean", "query_prefix": "", "passage_prefix": "",
        "max_query_length": 16, "max_passage_length": 16,
    }  # fmt: skip
    return lambda **changes: PretrainedEncoder(**(tiny | changes))


@pytest.fixture(scope="session")
def folder_encoder(pretrained) -> "Callable[[Path | str], BiEncoder]":
    """What model=folder loads: every setting is the folder's own. In evaluation mode."""
    none = dict.fromkeys(["pooling", "query_prefix", "passage_prefix", "max_query_length", "max_passage_length"])
    return lambda folder: pretrained(name_or_path=str(folder), **none).load(0).eval()


@pytest.fixture(scope="session")
def vectors() -> "Callable[..., list[Tensor]]":
    """An encoder's vectors of texts as queries and as passages."""
    import torch

    @torch.inference_mode()
    def encode(encoder, texts=TEXTS) -> "list[Tensor]":
        return [encoder(encoder.tokenizer.queries(texts)), encoder(encoder.tokenizer.passages(texts))]

    return encode


@pytest.fixture(scope="session")
def assert_same_vectors(vectors) -> Callable[..., None]:
    """Queries and passages have the vectors that sentence-transformers makes from the folder, or a model of its own."""
    import torch
    from sentence_transformers import SentenceTransformer

    def check(encoder, reference: Path | SentenceTransformer, texts=TEXTS, atol=1e-6, **options) -> None:
        if isinstance(reference, Path):
            reference = SentenceTransformer(str(reference), device="cpu", **options)
        theirs = [reference.encode_query(list(texts)), reference.encode_document(list(texts))]
        for mine, other in zip(vectors(encoder, texts), theirs, strict=True):
            torch.testing.assert_close(mine, torch.from_numpy(other), rtol=0, atol=atol)

    return check


@pytest.fixture(scope="session")
def labse(tmp_path_factory: pytest.TempPathFactory, pretrained) -> Path:
    """LaBSE's layout with small random weights: cls, a dense layer with tanh, and pickles and code beside them."""
    import torch

    from mixlingua.model.encoder import BiEncoder
    from mixlingua.model.folder import save_folder
    from mixlingua.model.layers import Dense

    plain = pretrained(pooling="cls").load(seed=4)
    torch.manual_seed(1)
    dense = [Dense(32, 32, bias=True, activation=torch.nn.Tanh())]
    folder = tmp_path_factory.mktemp("labse") / "repository"
    save_folder(BiEncoder(plain.transformer, plain.tokenizer, pooling="cls", dense=dense), folder)
    (folder / "mixlingua.json").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("raise SystemExit")
    return folder


@pytest.fixture
def hub_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], LocalHub]]:
    """A hub that serves a folder as every repository, to this process, with an empty cache, and to those it starts."""
    with ExitStack() as servers:

        def serve(folder: Path) -> LocalHub:
            server = servers.enter_context(LocalHub(folder))
            for name, value in {"ENDPOINT": server.url, "HOME": str(tmp_path / "hf"), "HUB_DISABLE_XET": "1"}.items():
                monkeypatch.setenv(f"HF_{name}", value)
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
            return server

        yield serve


@pytest.fixture(scope="session")
def infonce() -> "Callable[..., InfoNCE]":
    """loss=infonce with a temperature of 0.1 and changes."""
    from mixlingua.losses.infonce import InfoNCE

    return lambda **changes: InfoNCE(**({"temperature": 0.1} | changes))


@pytest.fixture
def two_languages() -> "RetrievalTask":
    """Two parallel questions: q1, answered by p0 and p3, and q2, by p1 and p4; q3, by p2, is German only.

    de pool: d0 d1 d2 = p0 p1 p2; en pool: e0 e1 e2 = p3 p4 p5.
    """
    from mixlingua.evaluation.tasks import RetrievalTask

    relevant = {"q1": {"d0": 1, "e0": 1}, "q2": {"d1": 1, "e1": 1}}
    return RetrievalTask(
        name="small",
        revision="1",
        licence="CC0",
        note="made by hand",
        queries={
            "de": {"q1": "p0=0.9 p2=0.8 p3=0.7 p5=-0.1", "q2": "p0=0.9 p1=0.5 p4=0.5 p5=0.6", "q3": "p2=0.1"},
            "en": {"q1": "p0=-0.5 p1=-0.2 p3=0.9", "q2": "p3=0.3 p4=0.3"},
        },
        passages={"de": {"d0": "p0", "d1": "p1", "d2": "p2"}, "en": {"e0": "p3", "e1": "p4", "e2": "p5"}},
        qrels={"de": relevant | {"q3": {"d2": 1}}, "en": relevant},
    )


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Sequence[str]], int]]:
    """`python run.py ARGUMENTS` in tmp_path, inside the test's process; returns the exit status."""
    from mixlingua.cli.main import main

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(arguments: Sequence[str]) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # set by the run, and undone with this
        monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    yield run
    for handler in set(root.handlers) - set(handlers):  # undo what Hydra does to the root logger
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A tab of Chromium; skips where there is none."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()

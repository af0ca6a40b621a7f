"""An encoder of a few thousand weights, and training batches made by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mixlingua.data.batches import TrainBatch
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.infonce import InfoNCE
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.training.module import RetrieverModule
from mixlingua.training.optimizer import AdamW

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


@pytest.fixture(scope="session")
def infonce() -> Callable[..., InfoNCE]:
    """loss=infonce with a temperature of 0.1 and changes."""
    return lambda **changes: InfoNCE(**({"temperature": 0.1} | changes))


@pytest.fixture
def module(pretrained, infonce) -> RetrieverModule:
    """A tiny model without dropout, so that equal batches have equal losses, and a fast learning rate."""
    encoder = pretrained().load(seed=0)
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    optimizer = AdamW(lr=5e-3, weight_decay=0.0, schedule="constant")
    return RetrieverModule(encoder, TotalLoss({"infonce": infonce()}), optimizer)


@pytest.fixture
def make_batch(module) -> Callable[..., TrainBatch]:
    def make(index: int, queries: list[str], passages: list[str], negatives: list[str] | None = None) -> TrainBatch:
        """Row i of queries is answered by row i of passages; negatives hold the same number for each query."""
        tokenizer: PairTokenizer = module.encoder.tokenizer
        columns = passages + (negatives or [])
        return TrainBatch(
            tokenizer.queries(queries),
            tokenizer.passages(columns),
            query_keys=torch.arange(len(queries))[:, None],
            passage_keys=torch.arange(len(columns))[:, None],
            index=index,
            kind="crosslingual",
            source="toy",
            query_languages=["de"] * len(queries),
            passage_languages=["en"] * len(queries),
        )

    return make


@pytest.fixture
def toy_batches(make_batch) -> Callable[[int], list[TrainBatch]]:
    """Batches of words and the same words in capitals, which a few steps learn to match."""
    words = ["alpha", "river", "stone", "cloud", "maple", "tiger", "zebra", "quilt"]

    def make(count: int) -> list[TrainBatch]:
        return [make_batch(index, words, [word.upper() for word in words]) for index in range(count)]

    return make


@pytest.fixture
def two_languages() -> RetrievalTask:
    """Two parallel questions: q1, answered by p0 and p3, and q2, by p1 and p4; q3, by p2, is German only.

    de pool: d0 d1 d2 = p0 p1 p2; en pool: e0 e1 e2 = p3 p4 p5.
    """
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

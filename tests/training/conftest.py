"""An encoder of a few thousand weights, and training batches made by hand."""

from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch

from mixlingua.data.batches import TrainBatch
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.losses.base import TotalLoss
from mixlingua.training.module import RetrieverModule
from mixlingua.training.optimizer import AdamW

from ..data.conftest import plan, rows, tokenizer  # noqa: F401  (fixtures of the DataModule's tests)


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
def trainer(tmp_path) -> Callable[..., pl.Trainer]:
    """A trainer on the CPU that shows and keeps nothing, with changes."""
    quiet = {"accelerator": "cpu", "default_root_dir": tmp_path, "logger": False, "num_sanity_val_steps": 0}
    quiet |= dict.fromkeys(["enable_progress_bar", "enable_model_summary", "enable_checkpointing"], False)
    return lambda **changes: pl.Trainer(**(quiet | changes))


@pytest.fixture
def make_batch(module) -> Callable[..., TrainBatch]:
    def make(index: int, queries: list[str], passages: list[str], negatives: list[str] | None = None) -> TrainBatch:
        """Row i of queries is answered by row i of passages; negatives hold the same number for each query."""
        tokens: PairTokenizer = module.encoder.tokenizer
        columns = passages + (negatives or [])
        return TrainBatch(
            tokens.queries(queries),
            tokens.passages(columns),
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

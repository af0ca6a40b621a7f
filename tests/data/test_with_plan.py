"""The whole path from files to batches, with the project's own plan."""

import pytest
from pytorch_lightning import LightningModule, Trainer

from mixlingua.data.build import build_store
from mixlingua.data.datamodule import PairDataModule
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.readers.ntrex import NtrexReader
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid

LANGUAGES = ["de", "en", "es", "ru", "tr", "zh"]


class Collector(LightningModule):
    def __init__(self):
        super().__init__()
        self.batches = []

    def training_step(self, batch):
        self.batches.append(batch)

    def configure_optimizers(self):
        return None


@pytest.mark.filterwarnings("ignore:.*configure_optimizers.*", "ignore:.*num_workers.*")
def test_batches_of_real_sources_have_the_planned_languages_and_no_shared_keys(shared_data, tmp_path, tokenizer):
    readers = [
        NtrexReader(shared_data / "ntrex", span=2, include_query=0.5),
        JsonlReader(shared_data / "lohelp" / "help.jsonl.gz", "lohelp"),
        JsonlReader(shared_data / "debian" / "descriptions.jsonl.gz", "debian"),
    ]
    stores = [build_store(reader, tmp_path, progress=False)[0] for reader in readers]

    plan = BatchPlan(stores, strategy=Hybrid(), languages=LANGUAGES, batch_size=16, seed=0)
    data = PairDataModule(plan, tokenizer, num_batches=24)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=24,
        max_epochs=1,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Collector()
    trainer.fit(module, datamodule=data)
    assert [batch.index for batch in module.batches] == list(range(24))
    assert {batch.kind for batch in module.batches} == {"monolingual", "crosslingual"}
    assert {batch.source for batch in module.batches} == {"ntrex", "lohelp", "debian"}
    for batch in module.batches:
        assert set(batch.query_languages) | set(batch.passage_languages) <= set(LANGUAGES)
        pairs = zip(batch.query_languages, batch.passage_languages, strict=True)
        assert all((query == passage) == (batch.kind == "monolingual") for query, passage in pairs)
        store_keys = [set(row) for row in batch.query_keys[:, :-1].tolist()]
        assert all(not a & b for n, a in enumerate(store_keys) for b in store_keys[:n])

"""The trainer of sentence-transformers on a plan's batches: it trains on the rows that the plan says."""

import pytest
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from mixlingua.data.build import write_store
from mixlingua.errors import ConfigError
from mixlingua.model.folder import save_folder
from mixlingua.model.local_weights import tiny_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.publish.sentence_transformers import planned_batches, planned_dataset
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid


@pytest.fixture
def plan(tmp_path, rows):
    stores = [
        write_store(tmp_path / name, rows(count, ("de", "en", "th"), num_negatives=2), name=name, fingerprint=name)
        for name, count in (("one", 40), ("two", 25))
    ]
    return BatchPlan(stores, strategy=Hybrid(), languages=["de", "en", "th"], batch_size=6, seed=3)


def expected(plan, step):
    batch = plan.batch(step)
    store, rows = plan.sources[batch.source_index], batch.rows.tolist()
    negatives = store.negatives(rows, batch.passage_languages)
    return [
        store.texts(rows, "query", batch.query_languages),
        store.texts(rows, "passage", batch.passage_languages),
        [texts[step % 2] for texts in negatives],
    ]


class Seen(torch.nn.Module):
    """A loss that writes down its texts."""

    def __init__(self, model):
        super().__init__()
        self.model, self.batches = model, []

    def forward(self, features, labels):
        decode = self.model.tokenizer.batch_decode
        self.batches.append([decode(side["input_ids"], skip_special_tokens=True) for side in features])
        return sum(self.model(side)["sentence_embedding"].square().sum() for side in features)


def test_the_real_trainer_trains_on_the_plans_batches(plan, tmp_path):
    encoder = PretrainedEncoder(name_or_path=str(tiny_folder(0)), pooling="mean").load(0)
    save_folder(encoder, tmp_path / "model")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    loss = Seen(model)
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), per_device_train_batch_size=6, max_steps=5, batch_sampler=planned_batches(plan),
        report_to="none", save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model, arguments, planned_dataset(plan, 5, num_negatives=1), loss=loss)
    trainer.train()

    def read(texts):
        return model.tokenizer.batch_decode(model.tokenizer(texts)["input_ids"], skip_special_tokens=True)

    assert len(loss.batches) == 5
    for step, batch in enumerate(loss.batches):
        assert batch == [read(texts) for texts in expected(plan, step)]


def test_rows_are_found_in_any_order_and_wrong_sizes_are_refused(plan):
    dataset = planned_dataset(plan, 4)
    queries, passages, _ = expected(plan, 2)
    assert dataset[[13, 12, 1]] == {
        "anchor": [queries[1], queries[0], expected(plan, 0)[0][1]],
        "positive": [passages[1], passages[0], expected(plan, 0)[1][1]],
    }
    with pytest.raises(ConfigError, match="per_device_train_batch_size=8: the plan's batches have 6 rows"):
        planned_batches(plan)(dataset, batch_size=8, drop_last=False)
    with pytest.raises(ConfigError, match="num_negatives=3: 'one' has rows with 2"):
        planned_dataset(plan, 4, num_negatives=3)

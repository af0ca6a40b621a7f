"""A generated family of sentence-transformers folders: equal vectors and scores, or a refusal that names the file.

sentence-transformers itself is the oracle. A folder that it cannot load either counts as refused.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from torch import nn

from mixlingua.errors import ModelError
from mixlingua.model.folder import save_folder
from mixlingua.model.local_weights import tiny_folder

TEXTS = ["Wie hoch ist der BERG?", "", "ประเทศไทยมีประชากรเท่าไร", "İstanbul", "long " * 60]

# A setting of a file (module folder, or "" for the top) and values that it may have, absent ones aside.
CHOICES = {
    ("config_sentence_transformers.json", "similarity_fn_name"): ["cosine", "dot", "euclidean", None],
    ("config_sentence_transformers.json", "prompts"): [
        {},
        {"query": "Q: ", "document": "D: "},
        {"query": "Q: ", "passage": "P: "},
        {"query": "Q: ", "document": "D: ", "classification": "C: "},
    ],
    ("config_sentence_transformers.json", "default_prompt_name"): [None, "query", "classification"],
    ("config_sentence_transformers.json", "truncate"): [None, 5],
    ("sentence_bert_config.json", "do_lower_case"): [False, True],
    ("sentence_bert_config.json", "max_seq_length"): [None, 9, 60],
    ("sentence_bert_config.json", "query_length"): [None, 7, 90],
    ("sentence_bert_config.json", "document_length"): [None, 11],
    ("sentence_bert_config.json", "processing_kwargs"): [{}, {"text": {"max_length": 6}}],
    ("sentence_bert_config.json", "tokenizer_args"): [{}, {"model_max_length": 8}],
    ("pooling", "pooling_mode"): ["cls", "mean", "max", ["mean"], ["cls", "mean"], "lasttoken"],
    ("pooling", "include_prompt"): [True, False],
}
ORDERS = [
    ["Pooling"], ["Pooling", "Normalize"], ["Pooling", "Dense", "Normalize"], ["Pooling", "Normalize", "Dense"],
    ["Pooling", "Normalize", "Dense", "Normalize"], ["Pooling", "Dense", "Dense"], ["Dense", "Pooling"],
    ["Normalize", "Pooling"], ["Pooling", "Normalize", "Normalize"],
]  # fmt: skip


def write_folder(folder: Path, order: list[str], changes: dict[tuple[str, str], object]) -> None:
    """A folder as sentence-transformers saves it, with changes to its files."""
    original = folder.parents[1] / "-".join(order)
    if not original.exists():
        write_original(original, order)
    shutil.copytree(original, folder)
    for (name, key), value in changes.items():
        edit(folder / ("1_Pooling/config.json" if name == "pooling" else name), {key: value})


def write_original(folder: Path, order: list[str]) -> None:
    torch.manual_seed(0)
    transformer = Transformer(str(tiny_folder(1)))
    pool = Pooling(32, "mean")
    modules: list[nn.Module] = [transformer, pool]
    width = 32
    for kind in [kind for kind in order if kind != "Pooling"]:
        if kind == "Dense":
            out = 32 if order[0] == "Dense" else width - 7
            modules.append(Dense(width, out, activation_function=nn.Tanh()))
            width = out
        else:
            modules.append(Normalize())
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    listed = json.loads((folder / "modules.json").read_text())
    behind = listed[2:]
    ordered = [listed[1] if kind == "Pooling" else behind.pop(0) for kind in order]
    (folder / "modules.json").write_text(json.dumps([listed[0], *ordered]))
    if order[0] == "Dense":  # of tokens instead of sentences
        edit(folder / ordered[0]["path"] / "config.json", {"module_input_name": "token_embeddings",
                                                          "module_output_name": "token_embeddings"})  # fmt: skip


def edit(file: Path, changes: dict[str, object]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("family") / "model"


def only(key: str, value: object, file: str = "sentence_bert_config.json") -> dict[tuple[str, str], object]:
    return {(file, key): value}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.sampled_from(ORDERS),
    changes=st.lists(st.sampled_from(list(CHOICES)), max_size=3, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: st.sampled_from(CHOICES[key]) for key in keys})
    ),
)
@example(order=["Pooling"], changes=only("similarity_fn_name", "dot", "config_sentence_transformers.json"))
@example(order=["Pooling", "Normalize", "Dense"], changes={})
@example(order=["Dense", "Pooling"], changes={})
@example(order=["Pooling", "Normalize"], changes=only("do_lower_case", True))
@example(
    order=["Pooling"],
    changes=only("include_prompt", False, "pooling")
    | only("prompts", {"query": "Q: ", "document": "D: "}, "config_sentence_transformers.json"),
)
@example(order=["Pooling"], changes=only("query_length", 7) | only("max_seq_length", 60))
def test_a_folder_gives_sentence_transformers_vectors_or_is_refused(workplace, folder_encoder, order, changes):
    folder = workplace()
    write_folder(folder, order, changes)
    try:
        encoder = folder_encoder(folder)
    except ModelError as error:
        assert str(folder) in str(error) and (folder.name in str(error))
        assert order not in (["Pooling", "Normalize"], ["Pooling", "Dense", "Normalize"]) or changes
        return
    with torch.inference_mode():
        ours = [encoder(encoder.tokenizer.queries(TEXTS)), encoder(encoder.tokenizer.passages(TEXTS))]
    assert_scores(ours, folder)
    again = workplace()
    save_folder(encoder, again)
    assert_scores(ours, again)
    with torch.inference_mode():
        reread = folder_encoder(again)
        assert torch.equal(reread(reread.tokenizer.queries(TEXTS)), ours[0])


def assert_scores(ours: list[torch.Tensor], folder: Path) -> None:
    """The vectors but for their length, and the scores, are those of sentence-transformers."""
    reference = SentenceTransformer(str(folder), device="cpu")
    theirs = [
        reference.encode_query(TEXTS, convert_to_tensor=True),
        reference.encode_document(TEXTS, convert_to_tensor=True),
    ]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, nn.functional.normalize(other, dim=-1), rtol=0, atol=2e-6)
    torch.testing.assert_close(ours[0] @ ours[1].T, reference.similarity(*theirs), rtol=0, atol=5e-6)


REFUSED = [
    ("config_sentence_transformers.json", {"similarity_fn_name": "euclidean"}, "similarity_fn_name"),
    ("config_sentence_transformers.json", {"default_prompt_name": "none such"}, "default_prompt_name"),
    ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "model_type"),
    ("config_sentence_transformers.json", {"truncate_dim": 5}, "truncate_dim"),
    ("config_sentence_transformers.json", {"prompts": ["query"]}, "prompts"),
    ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "prompts"),
    ("sentence_bert_config.json", {"max_seq_length": "12"}, "max_seq_length"),
    ("sentence_bert_config.json", {"query_expansion": {"length": 32}}, "query_expansion"),
    ("sentence_bert_config.json", {"model_args": {"num_hidden_layers": 1}}, "num_hidden_layers"),
    ("sentence_bert_config.json", {"model_args": [1]}, "model_args"),
    ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "weightedmean"),
    ("1_Pooling/config.json", {"pooling_mode": 3}, "pooling '3'"),
    ("1_Pooling/config.json", {"embedding_dimension": 33}, "embedding_dimension"),
    ("1_Pooling/config.json", {"window": 2}, "window"),
    ("2_Dense/config.json", {"use_residual": True}, "use_residual"),
    ("2_Dense/config.json", {"module_output_name": "other"}, "module_output_name"),
    ("2_Dense/config.json", {"activation_function": "mine.Tanh"}, r"mine\.Tanh"),
    ("2_Dense/config.json", {"in_features": None}, "in_features"),
    ("3_Normalize/config.json", {"module_input_name": "token_embeddings"}, "module_input_name"),
    ("mixlingua.json", {"colour": 2}, "colour"),
]


@pytest.mark.parametrize(
    ("file", "changes", "named"), REFUSED, ids=[f"{file}-{next(iter(keys))}" for file, keys, _ in REFUSED]
)
def test_a_setting_that_is_not_followed_is_refused_by_file_and_key(workplace, folder_encoder, file, changes, named):
    folder = workplace()
    write_folder(folder, ["Pooling", "Dense", "Normalize"], {})
    if not (folder / file).exists():
        (folder / file).write_text("{}")
    edit(folder / file, changes)
    with pytest.raises(ModelError, match=f"{file}.*{named}"):
        folder_encoder(folder)


@pytest.mark.parametrize("content", ["[]", "3", '"text"', "null", "[[]]", '[{"type": 3}]', '{"a": 1}'])
@pytest.mark.parametrize(
    "file",
    ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "1_Pooling/config.json",
     "2_Dense/config.json", "mixlingua.json", "config.json", "tokenizer_config.json", "tokenizer.json"],
)  # fmt: skip
def test_json_of_the_wrong_shape_is_a_message(workplace, folder_encoder, file, content):
    folder = workplace()
    write_folder(folder, ["Pooling", "Dense", "Normalize"], {})
    (folder / file).write_text(content)
    if (file, content) == ("tokenizer_config.json", '{"a": 1}'):  # an unknown key, which no tokenizer reads
        return
    with pytest.raises(ModelError, match=str(folder)):
        folder_encoder(folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/tmp", "a/../../b", "..\\b", "C:\\b"])
def test_modules_stay_inside_the_folder(workplace, folder_encoder, path):
    folder = workplace()
    write_folder(folder, ["Pooling", "Dense", "Normalize"], {})
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="leads out of the folder"):
        folder_encoder(folder)

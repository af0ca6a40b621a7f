"""The sentence-transformers folder that mixlingua writes: what RUN/model is. folder_reader.py reads it.

The layout is the one that every version since 2.0 reads: the transformer and its tokenizer at the top, modules.json,
1_Pooling (after 1_WeightedLayerPooling, where several layers are pooled), 2_Dense, ..., N_Normalize, and the prefixes
as prompts. Where queries and passages have different length limits, these are query_length and document_length, which
sentence-transformers 6.2 reads and its early versions do not. What the library does not know, such as what the
weights were pre-trained on, stands in mixlingua.json. A LanguageCentring is named by its own class.
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from mixlingua.errors import ModelError
from mixlingua.files import atomic_folder
from mixlingua.model.encoder import BiEncoder, Dense, Normalize, has_optional_pooler
from mixlingua.model.folder_reader import CENTRING
from mixlingua.model.language_layers import LanguageCentring

LAYOUT = "6.2.0"  # the version of sentence-transformers whose files these are
_MODULES = "sentence_transformers.models."
_POOLING_FLAGS = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
_ALL_POOLING_FLAGS = (
    "pooling_mode_cls_token",
    "pooling_mode_mean_tokens",
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
)


def save_folder(encoder: BiEncoder, target: Path) -> None:
    """Write the encoder as a sentence-transformers folder, whole or not at all.

    Raises ModelError for pooling that the layout cannot say (pooler).
    """
    if encoder.pooling not in _POOLING_FLAGS:
        raise ModelError(
            f"model.pooling={encoder.pooling}: a sentence-transformers folder can hold cls or mean pooling."
        )
    tokenizer = encoder.tokenizer
    with atomic_folder(target) as folder:
        encoder.transformer.save_pretrained(folder)
        tokenizer.tokenizer.save_pretrained(folder)
        modules = [(f"{_MODULES}Transformer", "")]
        if len(encoder.layer_weights) > 1:
            modules.append((f"{_MODULES}WeightedLayerPooling", "1_WeightedLayerPooling"))
            _write_layer_weights(encoder, folder / modules[-1][1])
        modules.append((f"{_MODULES}Pooling", f"{len(modules)}_Pooling"))
        _write_json(folder / modules[-1][1] / "config.json", _pooling_config(encoder))
        for layer in encoder.dense:
            place = folder / f"{len(modules)}_{type(layer).__name__}"
            place.mkdir()
            if isinstance(layer, LanguageCentring):
                modules.append((CENTRING, place.name))
                layer.save(place)
            elif isinstance(layer, Normalize):
                modules.append((f"{_MODULES}Normalize", place.name))
            else:
                assert isinstance(layer, Dense)
                modules.append((f"{_MODULES}Dense", place.name))
                _write_dense(layer, place)
        modules.append((f"{_MODULES}Normalize", f"{len(modules)}_Normalize"))
        (folder / modules[-1][1]).mkdir()
        _write_json(
            folder / "modules.json",
            [{"idx": i, "name": str(i), "path": p, "type": t} for i, (t, p) in enumerate(modules)],
        )
        # These two names and no other: mteb refuses a model with a prompt that is neither a task nor one of them.
        prompts = {"query": tokenizer.prefix["query"], "document": tokenizer.prefix["passage"]}
        versions = {
            "sentence_transformers": LAYOUT,
            "transformers": version("transformers"),
            "pytorch": version("torch"),
        }
        _write_json(
            folder / "config_sentence_transformers.json",
            {
                "__version__": versions,
                "model_type": "SentenceTransformer",
                "prompts": prompts,
                "default_prompt_name": None,
                "similarity_fn_name": "cosine",
            },
        )
        limits = tokenizer.max_length
        settings: dict[str, object] = {"max_seq_length": max(limits.values()), "do_lower_case": False}
        if limits["query"] != limits["passage"]:
            settings |= {"query_length": limits["query"], "document_length": limits["passage"]}
        if has_optional_pooler(type(encoder.transformer)):
            # Transformers would make the pooling layer that is not there, and warn of its random weights.
            settings["model_args"] = {"add_pooling_layer": False}
        _write_json(folder / "sentence_bert_config.json", settings)
        own = {f"{side}_prefix": prefix for side, prefix in tokenizer.prefix.items()}
        own |= {"pretraining": encoder.pretraining} if encoder.pretraining else {}
        _write_json(folder / "mixlingua.json", own)


def _write_layer_weights(encoder: BiEncoder, place: Path) -> None:
    config = encoder.transformer.config
    first = config.num_hidden_layers + 1 - len(encoder.layer_weights)  # the embeddings, below all layers, count as 0
    sizes = {"word_embedding_dimension": config.hidden_size, "num_hidden_layers": config.num_hidden_layers}
    _write_json(place / "config.json", {**sizes, "layer_start": first})
    save_file({"layer_weights": torch.tensor(encoder.layer_weights)}, place / "model.safetensors")


def _pooling_config(encoder: BiEncoder) -> dict:
    chosen = _POOLING_FLAGS[encoder.pooling]
    flags = {flag: flag == chosen for flag in _ALL_POOLING_FLAGS}
    return {"word_embedding_dimension": encoder.transformer.config.hidden_size, **flags, "include_prompt": True}


def _write_dense(dense: Dense, place: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in dense.state_dict().items()}, place / "model.safetensors")
    activation = type(dense.activation)
    config = {
        "in_features": dense.linear.in_features,
        "out_features": dense.linear.out_features,
        "bias": dense.linear.bias is not None,
        "activation_function": f"{activation.__module__}.{activation.__name__}",
    }
    _write_json(place / "config.json", config)


def _write_json(file: Path, content: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

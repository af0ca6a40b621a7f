"""The sentence-transformers folder that mixlingua writes: what RUN/model is. folder_reader.py reads it.

The layout is the one that every version since 2.0 reads: the transformer and its tokenizer at the top, modules.json,
1_Pooling, 2_Dense, ..., N_Normalize, and the prefixes as prompts. WeightedLayerPooling stands before Pooling where
several layers are pooled, WordWeights where tokens have weights. Where queries and passages have different length
limits, these are query_length and document_length, which sentence-transformers 6.2 reads and its early versions do not.
What the library does not know, such as what the weights were pre-trained on, stands in mixlingua.json. A
LanguageCentring is named by its own class.
"""

from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from mixlingua.errors import ModelError
from mixlingua.files import atomic_folder, write_json
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder_reader import POOLING_FLAGS, SAVED_POOLINGS
from mixlingua.model.layers import Normalize
from mixlingua.model.weights import has_optional_pooler

LAYOUT = "6.2.0"  # the version of sentence-transformers whose files these are
_MODULES = "sentence_transformers.models"


def save_folder(encoder: BiEncoder, target: Path) -> None:
    """Write the encoder as a sentence-transformers folder, whole or not at all.

    Another saved model there is replaced. Raises ConfigError for a file or folder of anything else, ModelError for
    pooling that the layout cannot say (pooler).
    """
    if encoder.pooling not in SAVED_POOLINGS:
        raise ModelError(
            f"model.pooling={encoder.pooling}: a sentence-transformers folder can hold {', '.join(SAVED_POOLINGS)}."
        )
    with atomic_folder(target, mark="modules.json") as folder:
        encoder.transformer.save_pretrained(folder)
        encoder.tokenizer.untouched().save_pretrained(folder)
        modules = [(f"{_MODULES}.Transformer", "")]

        def place(module: str, name: str) -> Path:
            """The folder of a further module."""
            modules.append((module, f"{len(modules)}_{name}"))
            (folder / modules[-1][1]).mkdir()
            return folder / modules[-1][1]

        if len(encoder.layer_weights) > 1:
            _write_layer_weights(encoder, place(f"{_MODULES}.WeightedLayerPooling", "WeightedLayerPooling"))
        if encoder.token_weights is not None:
            _write_token_weights(encoder, place(f"{_MODULES}.WordWeights", "WordWeights"))
        flags = {flag: mode == encoder.pooling for mode, flag in POOLING_FLAGS.items()}
        pooling = {"word_embedding_dimension": encoder.transformer.config.hidden_size, **flags, "include_prompt": True}
        write_json(place(f"{_MODULES}.Pooling", "Pooling") / "config.json", pooling)
        for layer in [*encoder.dense, Normalize(encoder.embedding_dim)]:
            layer.save(place(layer.module, type(layer).__name__))
        listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (kind, path) in enumerate(modules)]
        write_json(folder / "modules.json", listed)
        _write_settings(encoder, folder)


def _write_layer_weights(encoder: BiEncoder, place: Path) -> None:
    config = encoder.transformer.config
    first = config.num_hidden_layers + 1 - len(encoder.layer_weights)  # the embeddings, below all layers, count as 0
    sizes = {"word_embedding_dimension": config.hidden_size, "num_hidden_layers": config.num_hidden_layers}
    write_json(place / "config.json", {**sizes, "layer_start": first})
    save_file({"layer_weights": torch.tensor(encoder.layer_weights)}, place / "model.safetensors")


def _write_token_weights(encoder: BiEncoder, place: Path) -> None:
    assert encoder.token_weights is not None
    weights = encoder.token_weights.float().cpu()
    tokens = encoder.tokenizer.tokenizer.convert_ids_to_tokens(list(range(len(weights))))
    by_token = dict(zip(tokens, weights.tolist(), strict=True))
    settings = {"vocab": tokens, "word_weights": by_token, "unknown_word_weight": 1.0}
    write_json(place / "config.json", settings, indent=None)
    save_file({"emb_layer.weight": weights[:, None].contiguous()}, place / "model.safetensors")


def _write_settings(encoder: BiEncoder, folder: Path) -> None:
    """Prefixes, length limits, and what only mixlingua reads."""
    prefix, limits = encoder.tokenizer.prefix, encoder.tokenizer.max_length
    # These two names and no other: mteb refuses a model with a prompt that is neither a task nor one of them.
    prompts = {"query": prefix["query"], "document": prefix["passage"]}
    versions = {"sentence_transformers": LAYOUT, "transformers": version("transformers"), "pytorch": version("torch")}
    config = {
        "__version__": versions,
        "model_type": "SentenceTransformer",
        "prompts": prompts,
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    write_json(folder / "config_sentence_transformers.json", config)
    settings: dict[str, object] = {"max_seq_length": max(limits.values()), "do_lower_case": False}
    if limits["query"] != limits["passage"]:
        settings |= {"query_length": limits["query"], "document_length": limits["passage"]}
    if has_optional_pooler(type(encoder.transformer)):
        # Transformers would make the pooling layer that is not there, and warn of its random weights.
        settings["model_args"] = {"add_pooling_layer": False}
    write_json(folder / "sentence_bert_config.json", settings)
    own = {f"{side}_prefix": text for side, text in prefix.items()}
    own |= {"pretraining": encoder.pretraining} if encoder.pretraining else {}
    write_json(folder / "mixlingua.json", own)

"""The sentence-transformers folder: what RUN/model is, and what any encoder may be loaded from.

Written in the layout that every version since 2.0 reads: the transformer and its tokenizer at the top, modules.json,
1_Pooling (after 1_WeightedLayerPooling, where several layers are pooled), 2_Dense, ..., N_Normalize, and the prefixes
as prompts. What that layout does not know, the length limits of each side and what the weights were pre-trained on,
stands in mixlingua.json. A LanguageCentring, which that library does not have, is named by its own class.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mixlingua.errors import ModelError
from mixlingua.files import atomic_folder
from mixlingua.model.encoder import OPTIONAL_POOLER, BiEncoder, Dense, PooledLayer, Pooling
from mixlingua.model.language_layers import LanguageCentring, LanguageCentringModule, is_projection

_MODULES = "sentence_transformers.models."
_CENTRING = f"{LanguageCentringModule.__module__}.{LanguageCentringModule.__name__}"
_POOLING_FLAGS = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
_POOLINGS: dict[str, Pooling] = {"cls": "cls", "cls_token": "cls", "mean": "mean", "mean_tokens": "mean"}
_ALL_POOLING_FLAGS = (
    "pooling_mode_cls_token",
    "pooling_mode_mean_tokens",
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
)
_ACTIVATIONS: dict[str, type[nn.Module]] = {"Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU}


@dataclass(frozen=True)
class FolderSettings:
    """What a folder says of itself; None where it says nothing (a plain transformers folder says none of it)."""

    transformer: Path
    pooling: Pooling | None = None
    layer_weights: tuple[float, ...] | None = None  # of the last layers, whose states are averaged before pooling
    layers: tuple[tuple[str, Path], ...] = ()  # Dense or LanguageCentringModule, and where it is
    query_prefix: str | None = None
    passage_prefix: str | None = None
    max_query_length: int | None = None
    max_passage_length: int | None = None
    pretraining: str | None = None


def read_settings(folder: Path) -> FolderSettings:
    """Read modules.json and its fellows. Raises ModelError for a module that mixlingua does not have."""
    if not (folder / "modules.json").exists():
        return FolderSettings(transformer=folder)
    transformer, pooling, layer_weights, layers = folder, None, None, []
    for module in _read_json(folder / "modules.json"):
        kind, place = module["type"].rpartition(".")[2], folder / module["path"]
        if kind == "Transformer":
            transformer = place
        elif kind == "WeightedLayerPooling":
            layer_weights = _read_layer_weights(place)
        elif kind == "Pooling":
            pooling = _read_pooling(place / "config.json")
        elif kind in _LAYERS:
            layers.append((kind, place))
        elif kind != "Normalize":
            raise ModelError(
                f"{folder / 'modules.json'}: module '{kind}' is not supported; mixlingua reads Transformer, "
                f"WeightedLayerPooling, Pooling (cls or mean), {', '.join(_LAYERS)} and Normalize."
            )
    prompts = _read_json_if_there(folder / "config_sentence_transformers.json").get("prompts", {})
    passage_prompt = next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), None)
    limit = _read_json_if_there(transformer / "sentence_bert_config.json").get("max_seq_length")
    own = _read_json_if_there(folder / "mixlingua.json")
    return FolderSettings(
        transformer=transformer,
        pooling=pooling,
        layer_weights=layer_weights,
        layers=tuple(layers),
        query_prefix=own.get("query_prefix", prompts.get("query") or None),
        passage_prefix=own.get("passage_prefix", passage_prompt),
        max_query_length=own.get("max_query_length", limit),
        max_passage_length=own.get("max_passage_length", limit),
        pretraining=own.get("pretraining"),
    )


def read_layer(kind: str, place: Path) -> PooledLayer:
    """A layer after pooling of `FolderSettings.layers`. Raises ModelError where it cannot be read."""
    return _LAYERS[kind](place)


def _read_dense(place: Path) -> Dense:
    """A Dense module's weights and activation; a projection is frozen, since training would make it none.

    Raises ModelError for a pickle or an unknown activation.
    """
    config = _read_json(place / "config.json")
    weights = _read_weights(place)
    activation = config["activation_function"].rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise ModelError(f"{place / 'config.json'}: activation '{activation}' is not one of {sorted(_ACTIVATIONS)}.")
    dense = Dense(
        config["in_features"], config["out_features"], bias=config["bias"], activation=_ACTIVATIONS[activation]()
    )
    try:
        dense.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{place}: the weights do not fit config.json. Copy the model folder again.") from error
    return dense.requires_grad_(not is_projection(dense))


def _read_weights(place: Path) -> dict[str, Tensor]:
    """A module's tensors. Raises ModelError for a pickle, and for a file that cannot be read."""
    file = place / "model.safetensors"
    if not file.exists():
        raise ModelError(
            f"{file}: not found; pickled weights (pytorch_model.bin) are never loaded. Convert the module once with "
            "safetensors.torch.save_file."
        )
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ModelError(f"{file}: cannot be read. Copy the model folder again.") from error


_LAYERS: dict[str, Callable[[Path], PooledLayer]] = {
    "Dense": _read_dense,
    "LanguageCentringModule": LanguageCentring.load,
}


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
                modules.append((_CENTRING, place.name))
                layer.save(place)
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
        # encode_document() looks for "document" first, older code names the same side "passage".
        query, passage = tokenizer.prefix["query"], tokenizer.prefix["passage"]
        prompts = {"query": query, "document": passage, "passage": passage}
        _write_json(
            folder / "config_sentence_transformers.json",
            {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"},
        )
        longest = max(tokenizer.max_length.values())
        settings: dict[str, object] = {"max_seq_length": longest, "do_lower_case": False}
        if encoder.transformer.config.model_type in OPTIONAL_POOLER:
            # Transformers would make the pooling layer that is not there, and warn of its random weights.
            settings["model_args"] = {"add_pooling_layer": False}
        _write_json(folder / "sentence_bert_config.json", settings)
        own: dict[str, str | int] = {f"{side}_prefix": prefix for side, prefix in tokenizer.prefix.items()}
        own |= {f"max_{side}_length": length for side, length in tokenizer.max_length.items()}
        own |= {"pretraining": encoder.pretraining} if encoder.pretraining else {}
        _write_json(folder / "mixlingua.json", own)


def _write_layer_weights(encoder: BiEncoder, place: Path) -> None:
    config = encoder.transformer.config
    first = config.num_hidden_layers + 1 - len(encoder.layer_weights)  # the embeddings, below all layers, count as 0
    sizes = {"word_embedding_dimension": config.hidden_size, "num_hidden_layers": config.num_hidden_layers}
    _write_json(place / "config.json", {**sizes, "layer_start": first})
    save_file({"layer_weights": torch.tensor(encoder.layer_weights)}, place / "model.safetensors")


def _read_layer_weights(place: Path) -> tuple[float, ...]:
    """Raises ModelError where the weights are a pickle, cannot be read or do not fit their config.json."""
    config = _read_json(place / "config.json")
    weights = _read_weights(place).get("layer_weights", torch.empty(0))
    if len(weights) != (count := config["num_hidden_layers"] + 1 - config["layer_start"]):
        raise ModelError(
            f"{place}: {len(weights)} layer_weights, but config.json is of {count}. Copy the model folder again."
        )
    return tuple(weights.tolist())


def _pooling_config(encoder: BiEncoder) -> dict:
    chosen = _POOLING_FLAGS[encoder.pooling]
    flags = {flag: flag == chosen for flag in _ALL_POOLING_FLAGS}
    return {"word_embedding_dimension": encoder.transformer.config.hidden_size, **flags, "include_prompt": True}


def _read_pooling(file: Path) -> Pooling:
    config = _read_json(file)
    # Older folders name a flag for each mode, newer ones the mode itself.
    chosen = [name.removeprefix("pooling_mode_") for name in _ALL_POOLING_FLAGS if config.get(name)]
    stated = config.get("pooling_mode") or chosen
    mode = stated if isinstance(stated, str) else "+".join(stated)
    if mode not in _POOLINGS:
        raise ModelError(f"{file}: pooling '{mode}' is not supported; mixlingua reads cls or mean.")
    return _POOLINGS[mode]


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


def _read_json(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file}: not found; the model folder is incomplete. Copy or download it again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file}: not valid JSON ({error}). Copy or download the model folder again.") from None


def _read_json_if_there(file: Path) -> dict:
    return _read_json(file) if file.exists() else {}


def _write_json(file: Path, content: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

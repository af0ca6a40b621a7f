"""What a model folder says of itself: every setting of every file, honoured or refused by file and key.

The measure is sentence-transformers 6.2: where it would score texts in a way that mixlingua does not, the folder is
refused. A folder without modules.json is a plain transformers folder, which says nothing of pooling and prefixes.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mixlingua.errors import ModelError
from mixlingua.model.encoder import Dense, Normalize, PooledLayer, Pooling
from mixlingua.model.language_layers import LanguageCentring, LanguageCentringModule, is_projection

CENTRING = f"{LanguageCentringModule.__module__}.{LanguageCentringModule.__name__}"
# In the order in which sentence-transformers looks for them; the first one that is there is read.
TRANSFORMER_FILES = tuple(
    f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
_POOLINGS: dict[str, Pooling] = {"cls": "cls", "mean": "mean"}
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    f"{package}.{kind.__name__}": kind
    for kind in (nn.Tanh, nn.Identity, nn.ReLU, nn.GELU)
    for package in ("torch.nn", kind.__module__)
}
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
_LAYERS = ("Dense", "Normalize", "LanguageCentringModule")
# What may stand behind what: the modules in the order in which mixlingua computes.
_BEHIND = {
    "": ("Transformer",),
    "Transformer": ("WeightedLayerPooling", "Pooling"),
    "WeightedLayerPooling": ("Pooling",),
    "Pooling": _LAYERS,
    **dict.fromkeys(_LAYERS, _LAYERS),
}
T = TypeVar("T")


@dataclass(frozen=True)
class FolderSettings:
    """What a folder says of itself; None where it says nothing (a plain transformers folder says none of it).

    layer_weights: of the last layers, whose states are averaged before pooling. layers: kind and folder of each module
    after pooling. include_prompt: whether the prefix's tokens are pooled. lower_case: whether texts are lower-cased
    first. unclear_prefixes: why the prefixes cannot be told from the folder.
    """

    transformer: Path
    modular: bool = False
    pooling: Pooling | None = None
    layer_weights: tuple[float, ...] | None = None
    layers: tuple[tuple[str, Path], ...] = ()
    query_prefix: str | None = None
    passage_prefix: str | None = None
    max_query_length: int | None = None
    max_passage_length: int | None = None
    pretraining: str | None = None
    include_prompt: bool = True
    lower_case: bool = False
    unclear_prefixes: str | None = None


class _File:
    """The settings of a JSON file. Each is taken once; `close` refuses what nobody took."""

    def __init__(self, file: Path, content: Any = None) -> None:
        self.file = file
        self._rest = _read_json(file) if content is None else content
        if not isinstance(self._rest, dict):
            raise ModelError(f"{file}: a JSON object is needed, not {_short(self._rest)}. Copy the folder again.")
        self._rest = dict(self._rest)

    def take(self, key: str, kind: type[T], default: T) -> T:
        """A setting's value; the default where it is absent or null. Raises ModelError for a value of another kind."""
        value = self._rest.pop(key, None)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ModelError(f"{self.file}: {key} is {_short(value)}; {_KINDS[kind]} is needed.")
        return value

    def has(self, key: str) -> bool:
        return self._rest.get(key) is not None

    def ignore(self, *keys: str) -> None:
        """Settings that change no vector."""
        for key in keys:
            self._rest.pop(key, None)

    def only(self, key: str, *values: object) -> None:
        """Raises ModelError unless the setting is absent, null or one of the values."""
        value = self._rest.pop(key, None)
        if value is not None and value not in values:
            raise self.refusal(key, value, f"mixlingua has only {' or '.join(map(_short, values))}.")

    def close(self) -> None:
        """Raises ModelError for a setting that nobody took, unless it is empty or false."""
        for key, value in self._rest.items():
            if value not in (None, False, "", [], {}):
                raise self.refusal(key, value, "mixlingua does not know it.")

    def refusal(self, key: str, value: object, reason: str) -> ModelError:
        return ModelError(
            f"{self.file}: {key}={_short(value)}: {reason} The vectors would not be those that the folder describes. "
            "Use a model without it, or remove it from a copy of the folder if it makes no difference there."
        )


_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", str: "a text", dict: "an object"}


def read_settings(folder: Path) -> FolderSettings:
    """Read modules.json and the files it leads to. Raises ModelError naming file and key of what is not followed."""
    modules_file = folder / "modules.json"
    if not modules_file.exists():
        _refuse_adapters(folder)
        return FolderSettings(transformer=folder)
    transformer, pooling, include_prompt, layer_weights, layers = folder, None, True, None, []
    lengths: dict[str, int | None] = {}
    lower_case, before = False, ""
    for kind, place in _modules(modules_file):
        if kind not in _BEHIND[before]:
            expected = ", ".join(_BEHIND[before])
            raise ModelError(
                f"{modules_file}: {kind} stands {f'behind {before}' if before else 'first'}, where mixlingua has only "
                f"{expected}. Another order makes other vectors; use a model that has this one."
            )
        before = kind
        if kind == "Transformer":
            transformer = place
            _refuse_adapters(place)
            lengths, lower_case = _read_transformer(place)
        elif kind == "WeightedLayerPooling":
            layer_weights = _read_layer_weights(place, transformer)
        elif kind == "Pooling":
            pooling, include_prompt = _read_pooling(place / "config.json", transformer)
        else:
            layers.append((kind, place))
    while layers and layers[-1][0] == "Normalize":
        _read_normalize(layers.pop()[1])  # every encoder ends in it
    prefixes, unclear = _read_prompts(folder, unit_length=before == "Normalize")
    own = _File(folder / "mixlingua.json", _read_json_if_there(folder / "mixlingua.json"))
    for side in ("query", "passage"):
        stated = own.take(f"{side}_prefix", str, prefixes[side] or "")
        if stated != (prefixes[side] or ""):
            raise ModelError(
                f"{own.file}: {side}_prefix is '{stated}', but config_sentence_transformers.json has "
                f"'{prefixes[side] or ''}'. Make them equal."
            )
        prefixes[side] = stated if own.file.exists() else prefixes[side]
    pretraining = own.take("pretraining", str, "") or None
    own.close()
    return FolderSettings(
        transformer=transformer,
        modular=True,
        pooling=pooling,
        layer_weights=layer_weights,
        layers=tuple(layers),
        query_prefix=prefixes["query"],
        passage_prefix=prefixes["passage"],
        max_query_length=lengths.get("query"),
        max_passage_length=lengths.get("passage"),
        pretraining=pretraining,
        include_prompt=include_prompt,
        lower_case=lower_case,
        unclear_prefixes=unclear,
    )


def read_layer(kind: str, place: Path, width: int) -> PooledLayer:
    """A layer after pooling of `FolderSettings.layers`. width: components of what it is given.

    Raises ModelError where it cannot be read or is of another width.
    """
    if kind == "Normalize":
        _read_normalize(place)
        return Normalize(width)
    layer: PooledLayer = _read_dense(place) if kind == "Dense" else LanguageCentring.load(place)
    given = layer.linear.in_features if isinstance(layer, Dense) else layer.out_features
    if given != width:
        raise ModelError(f"{place}: made for {given} components, but what stands before it gives {width}.")
    refuse_not_finite(layer, place)
    return layer


def refuse_not_finite(module: nn.Module, place: Path) -> None:
    """Raises ModelError for weights that are infinite or no numbers."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(
                f"{place}: {name} holds values that are not finite. The weights are damaged, or training had failed; "
                "copy the folder again or use another checkpoint."
            )


def _modules(file: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each module, in the order in which they are computed."""
    listed = _read_json(file)
    if not isinstance(listed, list) or not listed:
        raise ModelError(f"{file}: a list of modules is needed, not {_short(listed)}. Copy the model folder again.")
    modules, names = [], set()
    for number, entry in enumerate(listed):
        if not isinstance(entry, dict):
            raise ModelError(f"{file}: module {number} is {_short(entry)}; an object is needed.")
        settings = _File(file, entry)
        module, path = settings.take("type", str, ""), settings.take("path", str, "")
        name = settings.take("name", str, str(number))
        settings.ignore("idx")
        settings.close()
        package, _, kind = module.rpartition(".")
        if not (package.startswith("sentence_transformers.") and kind in _BEHIND) and module != CENTRING:
            raise ModelError(
                f"{file}: module '{module}' is not supported; mixlingua reads sentence-transformers' Transformer, "
                f"WeightedLayerPooling, Pooling (cls or mean), Dense and Normalize, and its own {_LAYERS[-1]}."
            )
        inside = not any(
            kind_of_path(path).is_absolute() or ".." in kind_of_path(path).parts
            for kind_of_path in (PurePosixPath, PureWindowsPath)
        )
        if not inside or PureWindowsPath(path).drive:
            raise ModelError(f"{file}: path '{path}' of module {number} leads out of the folder. It is not followed.")
        if name in names:
            raise ModelError(f"{file}: two modules are named '{name}', of which one would be lost. Rename one.")
        names.add(name)
        modules.append((kind, file.parent / path))
    return modules


def _refuse_adapters(folder: Path) -> None:
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder / 'adapter_config.json'}: weights of an adapter stand apart from the model here. Merge them into "
            "the model (peft's merge_and_unload), save it and give that folder."
        )


def _read_transformer(place: Path) -> tuple[dict[str, int | None], bool]:
    """The most tokens of each side, None where nothing is said, and whether texts are lower-cased."""
    file = next((place / name for name in TRANSFORMER_FILES if (place / name).exists()), None)
    if file is None:
        return {}, False
    settings = _File(file)
    settings.ignore("unpad_inputs")
    settings.only("transformer_task", "feature-extraction")
    settings.only("module_output_name", "token_embeddings")
    modality = settings.take("modality_config", dict, {"text": _TEXT})
    if modality.get("text") != _TEXT:
        raise settings.refusal("modality_config", modality, f"mixlingua encodes texts by {_short(_TEXT)}.")
    for key in ("model_args", "model_kwargs"):
        options = _File(file, settings.take(key, dict, {}))
        options.only("add_pooling_layer", False, True)
        # Weights are loaded in float32 whatever they were saved in; how attention is computed is the same but for
        # rounding.
        options.ignore("trust_remote_code", "dtype", "torch_dtype", "attn_implementation")
        options.close()
    longest: int | None = None
    for key in ("tokenizer_args", "processor_kwargs"):
        options = _File(file, settings.take(key, dict, {}))
        longest = options.take("model_max_length", int, 0) or longest
        options.ignore("trust_remote_code", "use_fast")
        options.close()
    for key in ("config_args", "config_kwargs"):
        options = _File(file, settings.take(key, dict, {}))
        options.ignore("trust_remote_code")
        options.close()
    limit = settings.take("max_seq_length", int, 0)
    limits = {"query": "query_length", "passage": "document_length"}
    lengths = {side: settings.take(key, int, 0) or longest or limit or None for side, key in limits.items()}
    if any(length is not None and length < 1 for length in lengths.values()):
        raise ModelError(f"{file}: a text of {min(filter(None, lengths.values()))} tokens; 1 or more are needed.")
    lower_case = settings.take("do_lower_case", bool, False)
    settings.close()
    return lengths, lower_case


def _read_prompts(folder: Path, *, unit_length: bool) -> tuple[dict[str, str | None], str | None]:
    """Each side's prefix, None where the folder has none, and why they are not clear, where they are not."""
    file = folder / "config_sentence_transformers.json"
    settings = _File(file, _read_json_if_there(file))
    settings.ignore("__version__")
    settings.only("model_type", "SentenceTransformer")
    similarity = settings.take("similarity_fn_name", str, "cosine")
    if similarity != "cosine" and not (similarity == "dot" and unit_length):
        raise settings.refusal(
            "similarity_fn_name",
            similarity,
            "mixlingua scores by the cosine, which a dot product is only where the last module is Normalize.",
        )
    prompts = settings.take("prompts", dict, {})
    default = settings.take("default_prompt_name", str, "")
    settings.close()
    for name, text in prompts.items():
        if not isinstance(text, str | None):
            raise ModelError(f"{file}: prompts: '{name}' is {_short(text)}; a text is needed.")
    prefixes = {"query": prompts.get("query") or None, "passage": prompts.get("document") or None}
    # encode_document of sentence-transformers 6.2 has "document" alone, its earlier versions took these too.
    other = next((name for name in ("passage", "corpus") if prompts.get(name)), None)
    if other and prompts[other] != prefixes["passage"]:
        return prefixes, (
            f"{file}: prompts: '{other}' is '{prompts[other]}' and 'document' is '{prefixes['passage'] or ''}', so "
            "that versions of sentence-transformers differ in what stands before passages"
        )
    if default and default not in prompts:
        raise settings.refusal("default_prompt_name", default, "there is no such prompt.")
    if default and prompts[default] and prompts[default] not in prefixes.values():
        return prefixes, (
            f"{file}: default_prompt_name='{default}' is neither the query's nor the document's prompt, and only "
            "encode() would use it"
        )
    return prefixes, None


def _read_pooling(file: Path, transformer: Path) -> tuple[Pooling, bool]:
    """The mode, and whether the prefix's tokens are pooled."""
    settings = _File(file)
    # Older folders name a flag for each mode, newer ones the mode itself, which then counts alone.
    named = any(settings.has(flag) for flag in _POOLING_FLAGS)
    chosen = [mode for flag, mode in _POOLING_FLAGS.items() if settings.take(flag, bool, False)] if named else []
    stated: Any = settings.take("pooling_mode", object, chosen or ["mean"])
    modes = [stated] if isinstance(stated, str) else stated
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in _POOLINGS:
        named_modes = "+".join(map(str, modes)) if isinstance(modes, list) else _short(modes)
        raise ModelError(f"{file}: pooling '{named_modes}' is not supported; mixlingua reads cls or mean.")
    config = _read_json_if_there(transformer / "config.json")
    hidden = config.get("hidden_size") if isinstance(config, dict) else None
    for key in ("word_embedding_dimension", "embedding_dimension"):
        width = settings.take(key, int, 0)
        if width and hidden and width != hidden:
            raise ModelError(f"{file}: {key} is {width}, but the transformer's hidden_size is {hidden}.")
    include_prompt = settings.take("include_prompt", bool, True)
    settings.close()
    return _POOLINGS[modes[0]], include_prompt


def _read_layer_weights(place: Path, transformer: Path) -> tuple[float, ...]:
    """Raises ModelError where the weights are a pickle, cannot be read or do not fit their config.json."""
    settings = _File(place / "config.json")
    settings.ignore("word_embedding_dimension", "embedding_dimension")
    # The defaults of sentence-transformers. The embeddings, below all layers, count as layer 0.
    num_layers, first = settings.take("num_hidden_layers", int, 12), settings.take("layer_start", int, 4)
    settings.close()
    weights = read_weights(place).get("layer_weights", torch.empty(0))
    count = num_layers + 1 - first
    if first < 0 or weights.shape != (count,):
        raise ModelError(
            f"{place}: {weights.numel()} layer_weights, but config.json is of {count}. Copy the model folder again."
        )
    if not torch.isfinite(weights).all() or not weights.sum() > 0:
        raise ModelError(f"{place}: layer_weights {weights.tolist()}: finite numbers with a sum above 0 are needed.")
    config = _File(transformer / "config.json")
    if not config.take("output_hidden_states", bool, False):
        raise ModelError(
            f"{config.file}: output_hidden_states is not true, so that sentence-transformers passes over {place.name}. "
            "Set it to true, or remove the module from modules.json."
        )
    if config.take("num_hidden_layers", int, num_layers) != num_layers:
        raise ModelError(f"{place / 'config.json'}: num_hidden_layers is {num_layers}, the transformer has another.")
    return tuple(weights.float().tolist())


def _read_normalize(place: Path) -> None:
    settings = _File(place / "config.json", _read_json_if_there(place / "config.json"))
    settings.only("module_input_name", "sentence_embedding")
    settings.only("module_output_name", "sentence_embedding")
    settings.close()


def _read_dense(place: Path) -> Dense:
    """A Dense module's weights and activation; a projection is frozen, since training would make it none.

    Raises ModelError for a pickle or an unknown activation.
    """
    settings = _File(place / "config.json")
    settings.only("module_input_name", "sentence_embedding")
    settings.only("module_output_name", "sentence_embedding")
    settings.only("use_residual", False)
    sizes = settings.take("in_features", int, 0), settings.take("out_features", int, 0)
    bias = settings.take("bias", bool, True)
    activation = settings.take("activation_function", str, "torch.nn.Tanh")
    settings.close()
    if min(sizes) < 1:
        raise ModelError(f"{settings.file}: in_features and out_features are needed, numbers of 1 or more.")
    if activation not in _ACTIVATIONS:
        raise ModelError(f"{settings.file}: activation '{activation}' is not one of {sorted(_ACTIVATIONS)}.")
    dense = Dense(*sizes, bias=bias, activation=_ACTIVATIONS[activation]())
    try:
        dense.load_state_dict(read_weights(place))
    except RuntimeError as error:
        raise ModelError(f"{place}: the weights do not fit config.json. Copy the model folder again.") from error
    return dense.requires_grad_(not is_projection(dense))


def read_weights(place: Path) -> dict[str, Tensor]:
    """A module's tensors. Raises ModelError for a pickle, and for a file that cannot be read."""
    file = place / "model.safetensors"
    if not file.exists():
        raise ModelError(
            f"{file}: not found; pickled weights (pytorch_model.bin) are never loaded. Convert the module once with "
            "safetensors.torch.save_file."
        )
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). Copy the model folder again.") from error


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file}: not found; the model folder is incomplete. Copy or download it again.") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not valid JSON ({error}). Copy or download the model folder again.") from None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from None


def _read_json_if_there(file: Path) -> Any:
    return _read_json(file) if file.exists() else {}


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."

"""What a model folder says of itself: every setting of every file, honoured or refused by file and key.

The measure is sentence-transformers 6.2: where it would score texts in a way that mixlingua does not, the folder is
refused. A folder without modules.json is a plain transformers folder, which says nothing of pooling and prefixes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import torch

from mixlingua.errors import ModelError
from mixlingua.model.encoder import Pooling
from mixlingua.model.folder_file import SettingsFile, read_json, read_weights, short
from mixlingua.model.language_layers import LanguageCentring, is_projection
from mixlingua.model.layers import Dense, Normalize, PooledLayer, refuse_not_finite

# In the order in which sentence-transformers looks for them; the first one that is there is read.
TRANSFORMER_FILES = tuple(
    f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
# The modes of pooling that sentence-transformers has, and the flags by which its older folders name them.
POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
# Those of them that mixlingua has.
SAVED_POOLINGS: dict[str, Pooling] = {"cls": "cls", "mean": "mean", "lasttoken": "lasttoken"}
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
_LAYERS: dict[str, type[PooledLayer]] = {
    "Dense": Dense, "Normalize": Normalize, LanguageCentring.module.rpartition(".")[2]: LanguageCentring,
}  # fmt: skip
# What may stand behind what: the modules in the order in which mixlingua computes.
_BEHIND: dict[str, tuple[str, ...]] = {
    "": ("Transformer",),
    "Transformer": ("WeightedLayerPooling", "WordWeights", "Pooling"),
    "WeightedLayerPooling": ("WordWeights", "Pooling"),
    "WordWeights": ("Pooling",),
    "Pooling": tuple(_LAYERS),
    **dict.fromkeys(_LAYERS, tuple(_LAYERS)),
}


@dataclass
class FolderSettings:
    """What a folder says of itself; None where it says nothing (a plain transformers folder says none of it).

    layer_weights: of the last layers, whose states are averaged before pooling. token_weights: (V,) float32, by which
    tokens count in the mean. layers: kind and folder of each module after pooling. include_prompt: whether the prefix's
    tokens are pooled. lower_case: whether texts are lower-cased first. unclear_prefixes: why the prefixes cannot be
    told from the folder.
    """

    transformer: Path
    modular: bool = False
    pooling: Pooling | None = None
    layer_weights: tuple[float, ...] | None = None
    token_weights: torch.Tensor | None = None
    layers: tuple[tuple[str, Path], ...] = ()
    query_prefix: str | None = None
    passage_prefix: str | None = None
    max_query_length: int | None = None
    max_passage_length: int | None = None
    pretraining: str | None = None
    include_prompt: bool = True
    lower_case: bool = False
    unclear_prefixes: str | None = None

    def read_layers(self, width: int) -> list[PooledLayer]:
        """The layers after pooling; width: components of what the first one is given.

        A projection is frozen, since training would make it none. Raises ModelError where one cannot be read, is of
        another width than what stands before it, or is not finite.
        """
        layers = []
        for kind, place in self.layers:
            layer = _LAYERS[kind].load(place, width)
            if layer.in_features != width:
                raise ModelError(
                    f"{place}: made for {layer.in_features} components, but what stands before it gives {width}."
                )
            refuse_not_finite(layer, place)
            if isinstance(layer, Dense) and is_projection(layer):
                layer.requires_grad_(False)
            layers.append(layer)
            width = layer.out_features
        return layers


def read_settings(folder: Path) -> FolderSettings:
    """Read modules.json and the files it leads to. Raises ModelError naming file and key of what is not followed."""
    modules_file = folder / "modules.json"
    if not modules_file.exists():
        _refuse_adapters(folder)
        return FolderSettings(transformer=folder)
    settings = FolderSettings(transformer=folder, modular=True)
    before = ""
    for kind, place in _modules(modules_file):
        if kind not in _BEHIND[before]:
            expected = ", ".join(_BEHIND[before])
            raise ModelError(
                f"{modules_file}: {kind} stands {f'behind {before}' if before else 'first'}, where mixlingua has only "
                f"{expected}. Another order makes other vectors; use a model that has this one."
            )
        before = kind
        if kind == "Transformer":
            settings.transformer = place
            _read_transformer(settings)
        elif kind == "WeightedLayerPooling":
            settings.layer_weights = _read_layer_weights(place, settings.transformer)
        elif kind == "WordWeights":
            settings.token_weights = _read_token_weights(place)
        elif kind == "Pooling":
            _read_pooling(place / "config.json", settings)
        else:
            settings.layers += ((kind, place),)
    while settings.layers and settings.layers[-1][0] == "Normalize":
        Normalize.load(settings.layers[-1][1], 0)  # every encoder ends in it
        settings.layers = settings.layers[:-1]
    _read_prompts(folder, settings, unit_length=before == "Normalize")
    _read_own_file(folder, settings)
    return settings


def _modules(file: Path) -> Iterator[tuple[str, Path]]:
    """Kind and folder of each module, in the order in which they are computed."""
    listed = read_json(file)
    if not isinstance(listed, list) or not listed:
        raise ModelError(f"{file}: a list of modules is needed, not {short(listed)}. Copy the model folder again.")
    names = set()
    for number, entry in enumerate(listed):
        if not isinstance(entry, dict):
            raise ModelError(f"{file}: module {number} is {short(entry)}; an object is needed.")
        settings = SettingsFile(file, entry)
        module, path = settings.take("type", str, ""), settings.take("path", str, "")
        name = settings.take("name", str, str(number))
        settings.ignore("idx")
        settings.close()
        package, _, kind = module.rpartition(".")
        if not (package.startswith("sentence_transformers.") and kind in _BEHIND) and module != LanguageCentring.module:
            raise ModelError(
                f"{file}: module '{module}' is not supported; mixlingua reads sentence-transformers' Transformer, "
                f"WeightedLayerPooling, WordWeights, Pooling ({_pooling_names()}), Dense and Normalize, and its own "
                f"{LanguageCentring.module.rpartition('.')[2]}."
            )
        parts = PureWindowsPath(path)  # which reads both kinds of slash
        if parts.anchor or ".." in parts.parts:
            raise ModelError(f"{file}: path '{path}' of module {number} leads out of the folder. It is not followed.")
        if name in names:
            raise ModelError(f"{file}: two modules are named '{name}', of which one would be lost. Rename one.")
        names.add(name)
        yield kind, file.parent / path


def _refuse_adapters(folder: Path) -> None:
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder / 'adapter_config.json'}: weights of an adapter stand apart from the model here. Merge them into "
            "the model (peft's merge_and_unload), save it and give that folder."
        )


def _read_transformer(settings: FolderSettings) -> None:
    """The most tokens of each side, and whether texts are lower-cased."""
    _refuse_adapters(settings.transformer)
    file = next((f for name in TRANSFORMER_FILES if (f := settings.transformer / name).exists()), None)
    if file is None:
        return
    stated = SettingsFile(file)
    stated.ignore("unpad_inputs")
    stated.only("transformer_task", "feature-extraction")
    stated.only("module_output_name", "token_embeddings")
    modality = stated.take("modality_config", dict, {"text": _TEXT})
    if modality.get("text") != _TEXT:
        raise stated.refusal("modality_config", modality, f"mixlingua encodes texts by {short(_TEXT)}.")
    longest = 0
    for key in ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"):
        options = stated.take_object(key)
        options.ignore("trust_remote_code")
        if key.startswith("model"):
            options.only("add_pooling_layer", False, True)
            # Weights are loaded in float32 whatever they were saved in; how attention is computed is the same but for
            # rounding.
            options.ignore("dtype", "torch_dtype", "attn_implementation")
        elif not key.startswith("config"):
            longest = options.take("model_max_length", int, 0) or longest
            options.ignore("use_fast")
        options.close()
    limit = stated.take("max_seq_length", int, 0)
    lengths = [stated.take(key, int, 0) or longest or limit or None for key in ("query_length", "document_length")]
    if any(length is not None and length < 1 for length in lengths):
        raise ModelError(f"{file}: a text of {min(filter(None, lengths))} tokens; 1 or more are needed.")
    settings.max_query_length, settings.max_passage_length = lengths
    settings.lower_case = stated.take("do_lower_case", bool, False)
    stated.close()


def _pooling_names() -> str:
    *first, last = SAVED_POOLINGS
    return f"{', '.join(first)} or {last}"


def _read_pooling(file: Path, settings: FolderSettings) -> None:
    """The mode, and whether the prefix's tokens are pooled."""
    stated = SettingsFile(file)
    # Older folders name a flag for each mode, newer ones the mode itself, which then counts alone.
    named = any(stated.has(flag) for flag in POOLING_FLAGS.values())
    flagged = [mode for mode, flag in POOLING_FLAGS.items() if stated.take(flag, bool, False)]
    mode: Any = stated.take("pooling_mode", object, flagged if named else "mean")
    modes = mode if isinstance(mode, list) else [mode]
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in SAVED_POOLINGS:
        raise ModelError(
            f"{file}: pooling '{'+'.join(map(str, modes))}' is not supported; mixlingua reads {_pooling_names()}."
        )
    hidden = SettingsFile(settings.transformer / "config.json", optional=True).take("hidden_size", int, 0)
    for key in ("word_embedding_dimension", "embedding_dimension"):
        width = stated.take(key, int, 0)
        if width and hidden and width != hidden:
            raise ModelError(f"{file}: {key} is {width}, but the transformer's hidden_size is {hidden}.")
    settings.pooling = SAVED_POOLINGS[modes[0]]
    if settings.token_weights is not None and settings.pooling != "mean":
        raise ModelError(f"{file}: tokens have weights, which mean pooling alone takes, not {settings.pooling}.")
    settings.include_prompt = stated.take("include_prompt", bool, True)
    stated.close()


def _read_layer_weights(place: Path, transformer: Path) -> tuple[float, ...]:
    """Raises ModelError where the weights are a pickle, cannot be read or do not fit their config.json."""
    stated = SettingsFile(place / "config.json")
    stated.ignore("word_embedding_dimension", "embedding_dimension")
    # The defaults of sentence-transformers. The embeddings, below all layers, count as layer 0.
    num_layers, first = stated.take("num_hidden_layers", int, 12), stated.take("layer_start", int, 4)
    stated.close()
    weights = read_weights(place).get("layer_weights", torch.empty(0))
    count = num_layers + 1 - first
    if first < 0 or weights.shape != (count,):
        raise ModelError(
            f"{place}: {weights.numel()} layer_weights, but config.json is of {count}. Copy the model folder again."
        )
    if not torch.isfinite(weights).all() or not weights.sum() > 0:
        raise ModelError(f"{place}: layer_weights {weights.tolist()}: finite numbers with a sum above 0 are needed.")
    config = SettingsFile(transformer / "config.json")
    if not config.take("output_hidden_states", bool, False):
        raise ModelError(
            f"{config.file}: output_hidden_states is not true, so that sentence-transformers passes over {place.name}. "
            "Set it to true, or remove the module from modules.json."
        )
    if config.take("num_hidden_layers", int, num_layers) != num_layers:
        raise ModelError(f"{place / 'config.json'}: num_hidden_layers is {num_layers}, the transformer has another.")
    return tuple(weights.float().tolist())


def _read_token_weights(place: Path) -> torch.Tensor:
    """(V,). Raises ModelError where the weights are a pickle, cannot be read or do not fit their config.json."""
    stated = SettingsFile(place / "config.json")
    vocabulary = stated.take("vocab", list, [])
    stated.ignore("word_weights", "unknown_word_weight")  # from which the table was made
    stated.close()
    weights = read_weights(place).get("emb_layer.weight", torch.empty(0, 1))
    if weights.shape != (len(vocabulary), 1) or not len(vocabulary):
        raise ModelError(
            f"{place}: weights of shape {tuple(weights.shape)}, but config.json has a vocabulary of {len(vocabulary)}. "
            "Copy the model folder again."
        )
    weights = weights.squeeze(1).float()
    if not (weights > 0).all() or not torch.isfinite(weights).all():
        raise ModelError(f"{place}: weights of tokens must be finite and above 0, or some texts would have no mean.")
    return weights


def _read_prompts(folder: Path, settings: FolderSettings, *, unit_length: bool) -> None:
    """Each side's prefix, and why they are not clear, where they are not. unit_length: the last module is Normalize."""
    stated = SettingsFile(folder / "config_sentence_transformers.json", optional=True)
    stated.ignore("__version__")
    stated.only("model_type", "SentenceTransformer")
    similarity = stated.take("similarity_fn_name", str, "cosine")
    if similarity != "cosine" and not (similarity == "dot" and unit_length):
        raise stated.refusal(
            "similarity_fn_name",
            similarity,
            "mixlingua scores by the cosine, which a dot product is only where the last module is Normalize.",
        )
    prompts = stated.take("prompts", dict, {})
    default = stated.take("default_prompt_name", str, "")
    stated.close()
    for name, text in prompts.items():
        if not isinstance(text, str | None):
            raise ModelError(f"{stated.file}: prompts: '{name}' is {short(text)}; a text is needed.")
    if default and default not in prompts:
        raise stated.refusal("default_prompt_name", default, "there is no such prompt.")
    settings.query_prefix, settings.passage_prefix = prompts.get("query") or None, prompts.get("document") or None
    # encode_document of sentence-transformers 6.2 has "document" alone, its earlier versions took these too.
    other = next((name for name in ("passage", "corpus") if prompts.get(name)), None)
    if other and prompts[other] != settings.passage_prefix:
        settings.unclear_prefixes = (
            f"{stated.file}: prompts: '{other}' is '{prompts[other]}' and 'document' is "
            f"'{settings.passage_prefix or ''}', so that versions of sentence-transformers differ in what stands "
            "before passages"
        )
    elif default and prompts[default] and prompts[default] not in (settings.query_prefix, settings.passage_prefix):
        settings.unclear_prefixes = (
            f"{stated.file}: default_prompt_name='{default}' is neither the query's nor the document's prompt, and "
            "only encode() would use it"
        )


def _read_own_file(folder: Path, settings: FolderSettings) -> None:
    """mixlingua.json: what the weights had seen, and prefixes, which are empty where the prompts may be silent."""
    own = SettingsFile(folder / "mixlingua.json", optional=True)
    for key in ("query_prefix", "passage_prefix"):
        prompt = getattr(settings, key) or ""
        if (prefix := own.take(key, str, prompt)) != prompt:
            raise ModelError(
                f"{own.file}: {key} is '{prefix}', but config_sentence_transformers.json has '{prompt}'. Make them "
                "equal."
            )
        if own.there:
            setattr(settings, key, prefix)
    settings.pretraining = own.take("pretraining", str, "") or None
    own.close()

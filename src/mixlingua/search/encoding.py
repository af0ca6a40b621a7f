"""The encoder of an index: how index.json names it, how it is loaded again, and how texts become vectors."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from torch import Tensor

from mixlingua.data.rows import Side
from mixlingua.errors import DataError, ModelError
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.model.quantized import quantise
from mixlingua.retrieval.encode import Encode, encode, encode_checked, refuse_half_pairs
from mixlingua.search.folder import IndexFolder

OWN_MODEL = "model"  # in an index's folder: the encoder with a layer that was fitted for this index


@dataclass(frozen=True)
class Encoding:
    """An encoder, and how it is used. Safe to call from several threads, which take turns.

    model: as index.json has it: the arguments of a `PretrainedEncoder`, seed, fingerprint and precision. token_budget:
    tokens encoded at once.
    """

    encoder: BiEncoder
    model: Mapping[str, Any]
    token_budget: int = 2048
    _turn: threading.Lock = field(default_factory=threading.Lock)  # a fast tokenizer serves one thread at a time

    @classmethod
    def of(
        cls, encoder: BiEncoder, arguments: Mapping[str, Any], seed: int, *, precision: str, token_budget: int = 2048
    ) -> Self:
        """For a new index. arguments: of the `PretrainedEncoder` that gave the encoder."""
        fingerprint = encoder.fingerprint()
        model = {"arguments": dict(arguments), "seed": seed, "fingerprint": fingerprint, "precision": precision}
        return cls(encoder, model, token_budget)

    @classmethod
    def of_index(cls, folder: IndexFolder, encoder: BiEncoder | None, *, token_budget: int = 2048) -> Self:
        """For an index that is there. encoder: None: the one that it names.

        Raises ModelError where that cannot be loaded, or where an encoder is not the one that the index was built with.
        """
        model = folder.manifest.model
        try:
            recipe = PretrainedEncoder(**model["arguments"])
            if recipe.name_or_path == OWN_MODEL:
                recipe = replace(recipe, name_or_path=str(folder.path / OWN_MODEL))
            seed, built_with = model["seed"], str(model["fingerprint"])
        except (KeyError, TypeError) as error:
            raise DataError(f"{folder.path}: the model in index.json is damaged ({error}). Build it again.") from error
        loaded = encoder or recipe.load(seed)
        if (found := loaded.fingerprint()) != built_with:
            raise ModelError(
                f"index={folder.path}: it was built with {recipe.name_or_path} (weights {built_with[:12]}), but these "
                f"weights are {found[:12]}. Vectors of different models cannot be compared. Search with the model of "
                "the index, or build the index again."
            )
        if encoder is None and model["precision"] == "int8":
            quantise(loaded)  # once: a single query takes less time than quantising does
        return cls(loaded, model, token_budget)

    @property
    def dim(self) -> int:
        """D, the components of a vector."""
        return self.encoder.embedding_dim

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor:
        """(N, D) float32 unit rows on the CPU. Raises DataError for a text that is none, ModelError where a vector is
        not finite."""
        refuse_half_pairs(texts, side)
        with self._turn:
            return encode_checked(cast(Encode, self._unchecked), texts, side, "index")

    def cut_note(self, text: str, side: Side) -> str | None:
        """How many tokens a text has and how many of them are read, in a sentence; None where all are."""
        with self._turn:
            _, lost = self.encoder.tokenizer.encode_counting([text], side)
        limit = self.encoder.tokenizer.max_length[side]
        return f"the {side} has {limit + lost[text]:,} tokens; the first {limit:,} are read" if lost else None

    def _unchecked(self, texts: Sequence[str], side: Side) -> Tensor:
        precision = str(self.model["precision"])
        return encode(self.encoder, texts, side, token_budget=self.token_budget, precision=precision)

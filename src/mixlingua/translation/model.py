"""Translation models of the M2M100 and NLLB kinds: what they call languages, loading them, and translating a batch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase

from mixlingua.errors import ConfigError, ModelError, suggest
from mixlingua.files import content_hash
from mixlingua.languages import known_languages, script
from mixlingua.model.weights import find_folder, load_model, load_tokenizer


class Translated(NamedTuple):
    """A translation. finished: whether the model ended it, or was cut off at the largest length."""

    text: str
    finished: bool


class Translator(Protocol):
    """Translates texts between languages given by their codes; the same batch always gives the same translations.

    max_tokens: the longest text that it takes. identity: what decides its translations, by name. Translations by
    models of different identity are never mixed in one file.
    """

    max_tokens: int
    identity: Mapping[str, object]

    def lengths(self, texts: Sequence[str], language: str) -> list[int]:
        """Tokens of each text as a source, special tokens included."""

    def translate(
        self, texts: Sequence[str], source: str, target: str, *, num_beams: int, max_new_tokens: int
    ) -> list[Translated]:
        """The texts, one batch, in the target language, none of more than max_new_tokens."""


_M2M100 = re.compile(r"__([a-z]{2})__")
_NLLB = re.compile(r"([a-z]{3})_([A-Z][a-z]{3})")
# Codes of NLLB's individual languages that CLDR does not reduce to the language's ISO 639-1 code, or to another's.
_NLLB_LANGUAGES = {"pbt": "ps", "quy": "qu", "fuv": "ff", "tgl": "tl", "twi": "tw"}
_SAME_SCRIPT = {"Hang": "Kore"}  # Korean as NLLB and as CLDR call its script


class ModelLanguage(NamedTuple):
    """A language as a model names it. name: what its tokenizer takes as src_lang; token: what its texts begin with."""

    name: str
    token: str


def model_languages(vocabulary: Iterable[str]) -> dict[str, ModelLanguage]:
    """Language code -> the model's name of each language that the vocabulary of its tokenizer has a token for.

    Codes are ISO 639-1, with the script where it is not the language's usual one (zh-Hant); languages without such a
    code are left out. Norwegian (no) is Bokmål (nb) in both kinds of model. Empty for other kinds.
    """
    languages: dict[str, ModelLanguage] = {}
    for token in vocabulary:
        if match := _M2M100.fullmatch(token):
            if match[1] in known_languages():
                languages[match[1]] = ModelLanguage(match[1], token)
        elif (match := _NLLB.fullmatch(token)) and (code := _code(*match.groups())):
            languages[code] = ModelLanguage(token, token)
    for code, other in (("no", "nb"), ("nb", "no")):
        if code not in languages and other in languages:
            languages[code] = languages[other]
    return languages


def _code(language: str, written: str) -> str | None:
    """The code of an ISO 639-3 language in a script; None where it has no ISO 639-1 code."""
    from babel.core import get_global

    code = _NLLB_LANGUAGES.get(language) or get_global("language_aliases").get(language)
    if code not in known_languages():
        return None
    return code if _SAME_SCRIPT.get(written, written) == script(code) else f"{code}-{written}"


# Weights in half precision are as good here with and without "mixed": nothing is trained.
_DTYPES = {
    "32-true": torch.float32, "bf16-mixed": torch.bfloat16, "bf16-true": torch.bfloat16, "16-mixed": torch.float16,
    "16-true": torch.float16,
}  # fmt: skip


@dataclass(frozen=True)
class PretrainedTranslator:
    """A choice of conf/translator. Constructing it loads nothing; `load` does.

    name_or_path: a folder or hub id of a model whose tokenizer names languages as those of M2M100 or NLLB do
    revision: of a hub id: a branch, tag or commit
    licence: of the weights, for the record
    """

    name_or_path: str
    revision: str | None = None
    licence: str | None = None

    def load(self, languages: Sequence[str], *, device: torch.device, precision: str) -> "Seq2SeqTranslator":
        """The model, checked to know the languages before its weights are read.

        Raises ModelError for weights or a tokenizer that cannot be found or read, ConfigError for a language that it
        does not know and for an unknown precision.
        """
        if precision not in _DTYPES:
            raise ConfigError(f"trainer.precision={precision}: translation takes {', '.join(_DTYPES)}.")
        folder = find_folder(
            self.name_or_path,
            self.revision,
            key="translator",
            last_way="translate on another machine, and read the result here with data=jsonl",
        )
        files = "tokenizer_config.json, with tokenizer.json (NLLB) or vocab.json and sentencepiece.bpe.model (M2M100)"
        tokenizer = load_tokenizer(folder, files)
        tokenizer.padding_side = "right"
        # Only what was saved by some versions of transformers lists M2M100's language tokens in the vocabulary.
        known = model_languages([*tokenizer.get_vocab(), *getattr(tokenizer, "lang_token_to_id", ())])
        self._check_languages(languages, known)
        model: Any = load_model(AutoModelForSeq2SeqLM, folder, kind="translation model", dtype=_DTYPES[precision])
        model.to(device).eval()
        identity = {"weights": _fingerprint(folder), "precision": str(_DTYPES[precision]).removeprefix("torch.")}
        return Seq2SeqTranslator(model, tokenizer, {code: known[code] for code in languages}, identity)

    def _check_languages(self, languages: Sequence[str], known: dict[str, ModelLanguage]) -> None:
        if not known:
            raise ModelError(
                f"translator.name_or_path={self.name_or_path}: its tokenizer names no languages as M2M100 (__de__) or "
                "NLLB (deu_Latn) do. Choose translator=m2m100_418m or translator=nllb_600m, or a copy of such a model."
            )
        for code in languages:
            if code not in known:
                raise ConfigError(
                    f"translation.languages: {self.name_or_path} does not know '{code}'; it knows "
                    f"{' '.join(sorted(known))}.{suggest(code, known)}"
                )


class Seq2SeqTranslator:
    """A `Translator` by beam search, on the device of the model's weights.

    max_tokens: the positions that the model was trained with.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        languages: dict[str, ModelLanguage],
        identity: Mapping[str, object],
    ) -> None:
        self.identity = identity
        self.max_tokens = min(model.config.max_position_embeddings, tokenizer.model_max_length)
        self._model: Any = model
        self._tokenizer = tokenizer
        self._languages = languages

    def lengths(self, texts: Sequence[str], language: str) -> list[int]:
        """Tokens of each text as a source, special tokens included."""
        if not texts:
            return []
        self._tokenizer.src_lang = self._languages[language].name
        return [len(ids) for ids in self._tokenizer(list(texts), return_attention_mask=False)["input_ids"]]

    def translate(
        self, texts: Sequence[str], source: str, target: str, *, num_beams: int, max_new_tokens: int
    ) -> list[Translated]:
        """The texts, one batch, in the target language. Raises ModelError where the batch does not fit in memory."""
        self._tokenizer.src_lang = self._languages[source].name
        features = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(self._model.device)
        try:
            with torch.inference_mode():
                output = self._model.generate(
                    **features,
                    forced_bos_token_id=self._tokenizer.convert_tokens_to_ids(self._languages[target].token),
                    num_beams=num_beams,
                    do_sample=False,
                    max_new_tokens=max_new_tokens,
                )
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"a batch of {len(texts)} texts of up to {features['input_ids'].shape[1]} tokens, {num_beams} beams, "
                "does not fit in the device's memory. What is translated is kept: go on with resume=RUN and a lower "
                "translation.token_budget."
            ) from error
        # The columns: what decoding starts from, which is the end token here; the language; the translation. An end in
        # the last column may have been forced.
        ended = (output[:, 1:max_new_tokens] == self._tokenizer.eos_token_id).any(dim=1).tolist()
        decoded = self._tokenizer.batch_decode(output[:, 2:], skip_special_tokens=True)
        return [Translated(text.strip(), finished) for text, finished in zip(decoded, ended, strict=True)]


def _fingerprint(folder: Path) -> str:
    """Equal for equal weights, tokenizers and settings, wherever the folder is."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".json", ".model", ".safetensors"))
    return content_hash(*(part for file in files for part in (file.name, file)))[:16]

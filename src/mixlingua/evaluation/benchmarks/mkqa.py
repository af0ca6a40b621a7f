"""MKQA: questions in 26 languages, answered by passages of the English Wikipedia.

Longpre, Lu and Daiber 2021 (TACL 9, arXiv 2007.15207). As a benchmark of cross-lingual retrieval: Izacard et al. 2022
(Contriever, arXiv 2112.09118) over DPR's passages, Chen et al. 2024 (BGE-M3, arXiv 2402.03216) over those of BEIR's nq.
A passage is right if it contains one of the question's English answers (`mixlingua.evaluation.engines.answers`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.common import chosen_languages, published_file, warn_of_others
from mixlingua.evaluation.benchmarks.folder import URL as BEIR_URL
from mixlingua.evaluation.benchmarks.trec_files import plain_or_gz
from mixlingua.evaluation.corpus_tasks import LOCAL, SHARD_SIZE, AnswerTask
from mixlingua.files import sha256
from mixlingua.reading import read_lines
from mixlingua.retrieval.corpus import Corpus, DprCorpus, JsonLinesCorpus, entry_id, parse_fields

NAME = "mkqa.jsonl.gz"
URL = f"https://github.com/apple/ml-mkqa/raw/main/dataset/{NAME}"
LANGUAGES = {  # code -> what the file calls it
    "ar": "ar", "da": "da", "de": "de", "en": "en", "es": "es", "fi": "fi", "fr": "fr", "he": "he", "hu": "hu",
    "it": "it", "ja": "ja", "km": "km", "ko": "ko", "ms": "ms", "nl": "nl", "no": "no", "pl": "pl", "pt": "pt",
    "ru": "ru", "sv": "sv", "th": "th", "tr": "tr", "vi": "vi", "zh": "zh_cn", "zh-Hant": "zh_tw",
    "zh-Hant-HK": "zh_hk",
}  # fmt: skip
# The repository's README gives the number of examples, that of BGE-M3's evaluation the number of questions it keeps.
EXAMPLES, QUESTIONS = 10_000, 6_619
NO_ANSWER = frozenset({"unanswerable", "long_answer", "binary"})  # types of answers that no passage is searched for


def mkqa(
    folder: str | Path,
    corpus: str | Path,
    languages: Sequence[str] | None = None,
    shard_size: int = SHARD_SIZE,
    keep_vectors: bool = False,
) -> AnswerTask:
    """MKQA's questions with short answers, in each language, against one English corpus.

    folder: where mkqa.jsonl or mkqa.jsonl.gz is looked for before it is fetched
    corpus: corpus.jsonl of BEIR's nq or psgs_w100.tsv of DPR, plain or .gz; or another in one of their formats
    languages: a list such as [de, ja, zh-Hant]; null: all 26
    shard_size: passages encoded and stored together; bounds memory, and what a stopped run repeats
    keep_vectors: leave the vectors in the cache

    Files are known by their published numbers of examples, questions and passages. Raises DataError for a file that is
    missing or malformed, ConfigError for a language that MKQA does not have or a corpus of another kind.
    """
    chosen = chosen_languages("mkqa", languages, LANGUAGES)
    passages, answer_passages, released = _corpora(Path(corpus))
    path = _file(Path(folder))
    questions = read_questions(path, [LANGUAGES[language] for language in chosen])
    if questions.difference:
        warn_of_others("mkqa", f"{path}: {questions.difference}")
    return AnswerTask(
        name="mkqa",
        release=LOCAL if questions.difference else released.name,
        licence="CC BY-SA 3.0; passages from Wikipedia, CC BY-SA",
        note="A passage counts as right if it contains an English answer, whether or not it supports it.",
        queries={language: questions.texts[LANGUAGES[language]] for language in chosen},
        answers=questions.answers,
        corpus=passages,
        answer_corpus=answer_passages,
        corpus_language="en",
        published=released.passages,
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        files={path.name: sha256(path)},
    )


def _corpora(path: Path) -> tuple[Corpus, Corpus, Released]:
    """The corpus at `path`, which may be packed, the same as answers are looked for in it, and the release of its kind.

    As in the evaluations of these corpora, answers are looked for in titles too in BEIR's, in the text alone in DPR's.
    """
    kinds = {".jsonl": BEIR_NQ, ".tsv": PSGS_W100}
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind not in kinds:
        raise ConfigError(
            f"evaluation.tasks.mkqa.corpus: '{path}' ends in none of .jsonl (as BEIR's nq) and .tsv (as DPR's "
            "psgs_w100), plain or .gz."
        )
    released, file = kinds[kind], plain_or_gz(path)
    if not file.is_file():
        raise DataError(f"task mkqa: no {path}, plain or .gz. {released.how_to_get.format(folder=path.parent)}")
    if kind == ".tsv":
        return DprCorpus(file, titles=True), DprCorpus(file, titles=False), released
    return JsonLinesCorpus((file,)), JsonLinesCorpus((file,)), released


class Released(NamedTuple):
    """A corpus that results are published on. passages: by BEIR's and DPR's papers."""

    name: str
    passages: int
    how_to_get: str


BEIR_NQ = Released("beir-nq", 2_681_468, f"Get {BEIR_URL}/nq.zip, and unpack it: unzip nq.zip -d {{folder.parent}}")
PSGS_W100 = Released(
    "psgs-w100",
    21_015_324,
    "Get it: curl -L --create-dirs -o {folder}/psgs_w100.tsv.gz "
    "https://dl.fbaipublicfiles.com/dpr/wikipedia_split/psgs_w100.tsv.gz",
)


def _file(folder: Path) -> Path:
    plain = folder / NAME.removesuffix(".gz")
    if plain.is_file():
        return plain
    return published_file("mkqa", folder, NAME, URL, lambda path: read_questions(path, ()).difference)


@dataclass(frozen=True)
class Questions:
    """The questions with short answers. texts: what the file calls a language -> id -> question; answers: id -> English
    answers; examples: how many lines the file has."""

    texts: Mapping[str, Mapping[str, str]]
    answers: Mapping[str, tuple[str, ...]]
    examples: int

    @property
    def difference(self) -> str | None:
        """What tells the file from the published one."""
        if (self.examples, len(self.answers)) == (EXAMPLES, QUESTIONS):
            return None
        return (
            f"it has {self.examples:,} examples, {len(self.answers):,} with a short answer, instead of {EXAMPLES:,} "
            f"and {QUESTIONS:,}"
        )


def read_questions(path: Path, codes: Collection[str]) -> Questions:
    """Read mkqa.jsonl, plain or .gz. codes: what the file calls the languages that are wanted.

    Left out are questions whose last English answer is unanswerable, a long answer or binary, as in the evaluation of
    Contriever (data_scripts/preprocess_xmkqa.py); of the others, answers of these types are left out. Both texts and
    aliases are answers. Raises DataError naming file and line.
    """
    texts: dict[str, dict[str, str]] = {code: {} for code in codes}
    answers: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        fields = parse_fields(line, where)
        identity = entry_id(fields, ("example_id",), where)
        if identity in lines:
            raise DataError(f"{where}: duplicate example_id '{identity}', first seen at line {lines[identity]}.")
        lines[identity] = number
        if short := _answers(_field(fields, "answers", "en", where), f"{where}: question '{identity}'"):
            answers[identity] = short
            for code, by_id in texts.items():
                text = _field(fields, "queries", code, where)
                if not isinstance(text, str) or not text.strip():
                    raise DataError(f"{where}: question '{identity}' has no text in {code}. Fetch the file again.")
                by_id[identity] = text.strip()
    if not answers:
        raise DataError(f"{path}: no question has a short answer in English. Is it the file of MKQA?")
    return Questions(texts, answers, len(lines))


def _field(fields: dict[str, Any], name: str, code: str, where: str) -> Any:
    by_language = fields.get(name)
    if not isinstance(by_language, dict) or code not in by_language:
        raise DataError(f'{where}: no "{name}" in {code}; not the format of MKQA.')
    return by_language[code]


def _answers(entries: Any, where: str) -> tuple[str, ...]:
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{where}: its English answers are no list of objects; not the format of MKQA.")
    if entries[-1].get("type") in NO_ANSWER:
        return ()
    texts: list[Any] = []
    for entry in entries:
        if entry.get("type") not in NO_ANSWER:
            aliases = entry.get("aliases", [])
            texts += [entry.get("text"), *(aliases if isinstance(aliases, list) else [None])]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f'{where}: the "text" of an English answer, or an alias, is no text; not the format of MKQA.')
    return tuple(texts)

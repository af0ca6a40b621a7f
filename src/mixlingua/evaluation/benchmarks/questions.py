"""Own questions on own paragraphs, as retrieval of the sentences that answer: to choose settings by."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlingua.data.readers.jsonl import read_json_rows, texts_of
from mixlingua.data.readers.qa import QA_FIELDS
from mixlingua.data.rows import normalised
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.common import chosen_languages, settings_of
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import content_hash, sha256

Sentences = dict[str, list[str]]  # language -> the sentences of a paragraph


def answer_sentences(
    path: str | Path,
    name: str,
    languages: Sequence[str] | None = None,
    licence: str = "see the file's source",
    note: str = "",
) -> RetrievalTask:
    """Questions ask for the sentences of their paragraphs, in the language of the question or in another.

    path: JSON lines as `mixlingua.data.readers.qa.QaReader` reads them, plain or .gz, with `sentences`; a list by
    language where the row has passages in several languages
    name: of the task, as it stands in metric keys
    languages: of questions and sentences; null: all that the file has
    licence: of the file, for reports
    note: what a reader of the scores should know

    Relevant is the sentence that `answer_sentence` numbers, in every language of the paragraph; every sentence of the
    paragraph where it is absent or -1. Equal sentences of a language are one candidate; those without a letter or digit
    are none. Questions may be in fewer languages than sentences.
    Raises DataError with file and line for rows of another shape; ConfigError for a language that the file lacks.
    """
    path = Path(path)
    rows = [(where, fields, _sentences(fields, where)) for where, fields in read_json_rows([path], QA_FIELDS)]
    known = sorted({language for _, _, sentences in rows for language in sentences})
    chosen = chosen_languages(name, languages, known)

    passages: dict[str, dict[str, str]] = {language: {} for language in chosen}
    id_by_text: dict[tuple[str, str], str] = {}
    queries: dict[str, dict[str, str]] = {}
    qrels: dict[str, dict[str, dict[str, int]]] = {}
    for where, fields, sentences in rows:
        relevant: dict[str, int] = {}
        for language in chosen:
            for number, text in enumerate(sentences.get(language, [])):
                if not any(map(str.isalnum, text)):
                    continue
                key = id_by_text.setdefault((language, normalised(text)), f"{language}:{fields['id']}.{number}")
                passages[language].setdefault(key, text)
                if _answers(fields, number, where):
                    relevant[key] = 1
        if not relevant:
            raise DataError(f"{where}: no sentence of row '{fields['id']}' answers its question. Drop the row.")
        for language, question in texts_of(fields, "queries", where).items():
            if language in chosen:
                queries.setdefault(language, {})[str(fields["id"])] = question
                qrels.setdefault(language, {})[str(fields["id"])] = relevant
    if not queries:
        raise ConfigError(f"task {name}: {path} has no question in {', '.join(chosen)}.")
    return RetrievalTask(
        name=name,
        revision=f"sha256-{content_hash(path)[:16]}",
        licence=licence,
        note=note,
        queries=queries,
        passages=passages,
        qrels=qrels,
        settings=settings_of(chosen),
        files={path.name: sha256(path)},
    )


def _sentences(fields: Mapping[str, Any], where: str) -> Sentences:
    sentences = fields.get("sentences")
    if isinstance(sentences, list):
        passages = texts_of(dict(fields), "passages", where)
        sentences = {next(iter(passages)): sentences} if len(passages) == 1 else None
    if not isinstance(sentences, dict) or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in sentences.values()
    ):
        raise DataError(
            f"{where}: sentences of row '{fields['id']}' must be lists of texts by language, or one list where its "
            "passage is in one language. Drop the row."
        )
    return sentences


def _answers(fields: Mapping[str, Any], number: int, where: str) -> bool:
    answer = fields.get("answer_sentence", -1)
    if not isinstance(answer, int) or isinstance(answer, bool):
        raise DataError(f"{where}: answer_sentence of row '{fields['id']}' is {answer!r}; it must be a whole number.")
    return answer < 0 or number == answer

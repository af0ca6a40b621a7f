"""Own questions on own paragraphs, as retrieval of the sentences that answer: to choose settings by."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixlingua.data.readers.jsonl import read_json_rows, texts_of
from mixlingua.data.readers.qa import QA_FIELDS, answer_sentence, sentences_of
from mixlingua.data.rows import normalised
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.evaluation.benchmarks.common import chosen_languages, settings_of
from mixlingua.evaluation.tasks import Qrels, RetrievalTask, Texts
from mixlingua.files import content_hash, sha256

Sentences = dict[str, list[str]]  # language -> the sentences of a paragraph


def answer_sentences(
    path: str | Path,
    name: str,
    languages: Sequence[str] | None = None,
    licence: str = "see the file's source",
    note: str = "",
    *,
    locate: bool = False,
    left_out: str | None = None,
    fold: str | None = None,
) -> RetrievalTask:
    """Questions ask for the sentences of their paragraphs, in the language of the question or in another.

    path: JSON lines as `mixlingua.data.readers.qa.QaReader` reads them, plain or .gz, with `sentences`; a list by
    language where the row has passages in several languages
    name: of the task, as it stands in metric keys
    languages: of questions and sentences; null: all that the file has
    licence: of the file, for reports
    note: what a reader of the scores should know
    locate: of a row whose `answer_sentence` is not known, look for the sentence that says its `answers`, as
    `AnswerLocator` does; where none can be told, the row's questions are left out, and its sentences stay
    left_out: questions of rows are left out where this regular expression is found in one; null: none
    fold: only questions of rows of this fold are asked; sentences of the others stay. null: of all rows

    Relevant is the sentence that `answer_sentence` numbers, in every language of the paragraph; every sentence of the
    paragraph where it is absent or -1 and is not looked for. Equal sentences of a language are one candidate; those
    without a letter or digit are none. Questions may be in fewer languages than sentences.
    Raises DataError with file and line for rows of another shape, and for one without a fold where one is asked for;
    ConfigError for a language or a fold that the file lacks, for an expression that is none, and where no question is
    left.
    """
    path = Path(path)
    try:
        unwanted = re.compile(left_out) if left_out is not None else None
    except re.error as error:
        raise ConfigError(f"task {name}: left_out={left_out!r} is no regular expression ({error}).") from error
    rows = [_row(fields, where) for where, fields in read_json_rows([path], QA_FIELDS)]
    chosen = chosen_languages(name, languages, sorted({language for row in rows for language in row.sentences}))
    if fold is not None:
        _check_fold(fold, rows, name, path)
    queries, passages, qrels = _texts(_asking(rows, locate, unwanted, fold), chosen)
    if not queries:
        raise ConfigError(f"task {name}: {path} has no question in {', '.join(chosen)}, or none that is not left out.")
    options = [str(locate), str(left_out), *([] if fold is None else [fold])]
    return RetrievalTask(
        name=name,
        revision=f"sha256-{content_hash(path, *options)[:16]}",
        licence=licence,
        note=note,
        queries=queries,
        passages=passages,
        qrels=qrels,
        settings=settings_of(chosen),
        files={path.name: sha256(path)},
    )


@dataclass(frozen=True)
class _Row:
    """answer: the number of the sentence that answers; None where it is not known, and then every sentence does."""

    where: str
    fields: dict[str, Any]
    questions: dict[str, str]
    sentences: Sentences
    answer: int | None


def _row(fields: dict[str, Any], where: str) -> _Row:
    answer = answer_sentence(fields, where)
    questions, sentences = texts_of(fields, "queries", where), sentences_of(fields, where)
    return _Row(where, fields, questions, sentences, answer if answer >= 0 else None)


def _check_fold(fold: str, rows: Sequence[_Row], name: str, path: Path) -> None:
    for row in rows:
        if not isinstance(found := row.fields.get("fold"), str):
            raise DataError(
                f"{row.where}: fold of row '{row.fields['id']}' is {found!r}; task {name} with fold={fold} needs the "
                "fold of every row, a text. Name it, or set fold=null."
            )
    if fold not in (folds := sorted({row.fields["fold"] for row in rows})):
        raise ConfigError(f"task {name}: no fold '{fold}'; {path} has {', '.join(folds)}.{suggest(fold, folds)}")


def _asking(rows: Sequence[_Row], locate: bool, unwanted: re.Pattern[str] | None, fold: str | None) -> Iterator[_Row]:
    """All rows, with the answers that can be located; those whose questions are left out have none."""
    locator = AnswerLocator(row.sentences for row in rows) if locate else None
    for row in rows:
        answer = row.answer
        asks = fold in (None, row.fields.get("fold"))
        asks &= unwanted is None or not any(map(unwanted.search, row.questions.values()))
        if answer is None and locator is not None:
            answer = locator(texts_of(row.fields, "answers", row.where), row.sentences)
            asks &= answer is not None
        yield replace(row, answer=answer, questions=row.questions if asks else {})


def _texts(rows: Iterable[_Row], languages: Sequence[str]) -> tuple[Texts, Texts, Qrels]:
    """Queries, passages and qrels in these languages."""
    passages: dict[str, dict[str, str]] = {language: {} for language in languages}
    id_by_text: dict[tuple[str, str], str] = {}
    queries: dict[str, dict[str, str]] = {}
    qrels: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        name = str(row.fields["id"])
        relevant: dict[str, int] = {}
        for language in languages:
            for number, text in enumerate(row.sentences.get(language, [])):
                if not any(map(str.isalnum, text)):
                    continue
                key = id_by_text.setdefault((language, normalised(text)), f"{language}:{name}.{number}")
                passages[language].setdefault(key, text)
                if row.answer in (None, number):
                    relevant[key] = 1
        if not relevant:
            raise DataError(f"{row.where}: no sentence of row '{name}' answers its question. Drop the row.")
        for language, question in row.questions.items():
            if language in languages:
                queries.setdefault(language, {})[name] = question
                qrels.setdefault(language, {})[name] = relevant
    return queries, passages, qrels


class AnswerLocator:
    """Tells which sentence of a paragraph says an answer: the one with most of its words, if that is clear.

    A word counts by its first six letters. It weighs more the fewer sentences it is in. A sentence says an answer if it
    has at least half of the answer's weight, and a fifth of it more than any other sentence. It must be the same
    sentence in every language that has the answer. Made for languages that write words apart.
    """

    SHARE, LEAD = 0.5, 0.2  # of an answer's weight

    def __init__(self, paragraphs: Iterable[Sentences]) -> None:
        """paragraphs: all of them, for the frequencies of words."""
        self._num_sentences: Counter[str] = Counter()  # by language
        self._num_with: Counter[tuple[str, str]] = Counter()  # sentences that have a word, by language and word
        for sentences in paragraphs:
            for language, texts in sentences.items():
                self._num_sentences[language] += len(texts)
                self._num_with.update((language, word) for text in texts for word in _beginnings(text))

    def __call__(self, answers: Mapping[str, str], sentences: Sentences) -> int | None:
        """The number of the sentence, from 0; None where it cannot be told."""
        if len({len(texts) for texts in sentences.values()}) != 1:
            return None
        told = {
            self._told(answers[language], sentences[language], language)
            for language in answers
            if language in sentences
        }
        return told.pop() if len(told) == 1 else None

    def _told(self, answer: str, sentences: Sequence[str], language: str) -> int | None:
        weights = {
            word: math.log(1 + self._num_sentences[language] / (1 + self._num_with[language, word]))
            for word in _beginnings(answer)
        }
        whole = sum(weights.values())
        parts = [sum(weights[word] for word in weights.keys() & _beginnings(text)) for text in sentences]
        first, second = sorted([*parts, 0.0, 0.0], reverse=True)[:2]
        clear = first >= self.SHARE * whole and first - second > self.LEAD * whole
        return parts.index(first) if clear else None


def _beginnings(text: str) -> set[str]:
    """Of words of three letters or more, and of numbers."""
    return {word[:6] for word in re.findall(r"\w+", text.lower()) if len(word) > 2 or word.isdigit()}

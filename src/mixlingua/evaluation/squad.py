"""SQuAD-format files with sentence boundaries: questions, sentences, and which sentence answers which question."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mixlingua.errors import DataError


@dataclass(frozen=True)
class SentenceFile:
    """questions: id -> text; sentences: "article.paragraph.sentence" (counted from 0) -> text; contexts: the same key
    -> text of the paragraph; answers: question id -> the sentence that holds the start of its answer
    (`answering_sentence`)."""

    questions: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def num_articles(self) -> int:
        """The number of articles that have sentences."""
        return len({_article(key) for key in self.sentences})

    def first(self, articles: int) -> Self:
        """The questions and sentences of the first articles alone."""
        sentences = {key: text for key, text in self.sentences.items() if _article(key) < articles}
        answers = {question: key for question, key in self.answers.items() if key in sentences}
        return replace(
            self,
            questions={question: self.questions[question] for question in answers},
            sentences=sentences,
            contexts={key: self.contexts[key] for key in sentences},
            answers=answers,
        )


def read_sentences(path: Path) -> SentenceFile:
    """Read one file: {"data": [{"paragraphs": [{"context", "sentences", "sentence_breaks", "qas"}]}]}.

    sentence_breaks are the [start, end) character offsets of the sentences in the context. A question with several
    answers counts by its first. Raises DataError naming the file and the line, paragraph or question that is wrong.
    """
    content = SentenceFile()
    for article, entry in enumerate(_get(_load(path), "data", list, str(path))):
        for number, paragraph in enumerate(_get(entry, "paragraphs", list, f"{path}: data[{article}]")):
            where = f"{path}: data[{article}].paragraphs[{number}]"
            _add_paragraph(content, paragraph, f"{article}.{number}", where)
    if not content.questions:
        raise DataError(f"{path}: no questions; a benchmark file needs some. Is it the right file?")
    return content


def answering_sentence(breaks: Sequence[tuple[int, int]], start: int) -> int:
    """Position of the first sentence whose end is not before `start`, an answer's first character; the last one where
    the text runs on behind it.

    The end counts as inside, as in the reference figures: where two sentences adjoin without a blank, an answer that
    begins the second one counts for the first (XQuAD-R: 29 questions in zh, 1 in hi; docs/metrics.md).
    """
    return next((position for position, (_, end) in enumerate(breaks) if start <= end), len(breaks) - 1)


def _add_paragraph(content: SentenceFile, paragraph: Any, key: str, where: str) -> None:
    context = _get(paragraph, "context", str, where)
    sentences = _get(paragraph, "sentences", list, where)
    breaks = _get(paragraph, "sentence_breaks", list, where)
    if not sentences or len(sentences) != len(breaks) or not all(map(_is_span, breaks)):
        raise DataError(
            f"{where}: {len(sentences)} sentences with {len(breaks)} sentence_breaks; every sentence needs its "
            "[start, end) in the context. Use the files of the LAReQA repository, not plain XQuAD or MLQA."
        )
    for number, text in enumerate(sentences):
        content.sentences[f"{key}.{number}"] = text
        content.contexts[f"{key}.{number}"] = context
    for number, question in enumerate(_get(paragraph, "qas", list, where)):
        at = f"{where}.qas[{number}]"
        identity = _get(question, "id", str, at)
        if identity in content.questions:
            raise DataError(f"{at}: question id '{identity}' occurs twice; ids must be unique within a file.")
        answers = _get(question, "answers", list, at)
        start = _get(answers[0], "answer_start", int, at) if answers else -1
        if not 0 <= start < len(context):
            raise DataError(f"{at}: question '{identity}' has no answer within its paragraph (answer_start {start}).")
        content.questions[identity] = _get(question, "question", str, at)
        content.answers[identity] = f"{key}.{answering_sentence(breaks, start)}"


def _article(sentence: str) -> int:
    return int(sentence.partition(".")[0])


def _is_span(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(offset, int) for offset in entry)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON ({error.msg}); fetch the file again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not valid UTF-8 at byte {error.start}; fetch the file again.") from error


def _get(entry: Any, key: str, kind: type, where: str) -> Any:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise DataError(f'{where}: "{key}" is {type(value).__name__}, not {kind.__name__}; not the SQuAD format.')
    return value

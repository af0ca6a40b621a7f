"""XQuAD-R and MLQA-R: parallel questions over sentences of Wikipedia paragraphs (LAReQA, arXiv 2004.05484)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mixlingua.data.readers.squad import MISPLACED, first_answer, misplaced_answer, squad_field, squad_id
from mixlingua.errors import ConfigError, DataError, check_choice
from mixlingua.evaluation.benchmarks.common import (
    chosen_languages,
    parallel_qrels,
    published_file,
    revision_of,
    settings_of,
    table,
    with_language,
)
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import sha256
from mixlingua.reading import read_json

logger = logging.getLogger(__name__)

COMMIT = "354d67d1cd066854cdfbf5ad0e6105528976141d"
URL = f"https://raw.githubusercontent.com/google-research-datasets/lareqa/{COMMIT}"
CANDIDATES = ("sentence", "sentence_context")


def xquad_r(
    folder: str | Path,
    languages: Sequence[str] | None = None,
    candidates: str = "sentence",
    articles: int | None = None,
    misplaced: str = "refuse",
) -> RetrievalTask:
    """XQuAD-R: 1,190 questions in each of eleven languages, with one relevant sentence in every language.

    folder: where de.json, ... are looked for before the cache and the network
    languages: a list such as [de, en]; null: all eleven
    candidates: sentence, or sentence_context: followed by its paragraph, as LAReQA's encoders read it
    articles: the first so many of the 48, with their sentences as the pool, for a quick look; null: all
    misplaced: an answer that its paragraph does not have: refuse it with an error, or leave_out its question

    Other candidates, fewer articles and a copy that differs from the pinned commit give a revision of its own. Raises
    DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that the
    benchmark does not have, other candidates, or articles that are not there.
    """
    return _task(XQUAD_R, Path(folder), languages, candidates, misplaced, articles)


def mlqa_r(
    folder: str | Path,
    languages: Sequence[str] | None = None,
    candidates: str = "sentence",
    misplaced: str = "refuse",
) -> RetrievalTask:
    """MLQA-R: seven languages with about 500 questions each (English 1,148), relevant sentences in two to four of them.

    folder: looked into first: ar.json, de.json, ...
    languages: a list such as [de, en]; null: all
    candidates: sentence, or sentence_context: followed by its paragraph, as LAReQA's encoders read it
    misplaced: an answer that its paragraph does not have: refuse it with an error, or leave_out its question

    As `xquad_r`; its files carry no published checksum and are recognised by their numbers of questions and sentences.
    """
    return _task(MLQA_R, Path(folder), languages, candidates, misplaced)


def _task(
    benchmark: _Benchmark,
    folder: Path,
    languages: Sequence[str] | None,
    candidates: str,
    misplaced: str,
    articles: int | None = None,
) -> RetrievalTask:
    for key, value, choices in (("candidates", candidates, CANDIDATES), ("misplaced", misplaced, MISPLACED)):
        check_choice(f"evaluation.tasks.{benchmark.name}.{key}", value, choices)
    chosen = chosen_languages(benchmark.name, languages, benchmark.published)
    paths = {language: _path(benchmark, folder, language) for language in chosen}
    source = f"evaluation.tasks.{benchmark.name}"
    files = {language: read_sentences(path, misplaced, source) for language, path in paths.items()}
    others = [path for language, path in paths.items() if not benchmark.is_pinned(language, path, files[language])]
    revision = revision_of(benchmark.name, COMMIT, paths.values(), others)
    if left_out := {
        str(paths[language]): len(content.left_out) for language, content in files.items() if content.left_out
    }:
        number = sum(left_out.values())
        logger.warning(
            "task %s: %d question%s left out, whose answers do not stand where their files say, nor once elsewhere: %s",
            benchmark.name, number, "" if number == 1 else "s", ", ".join(left_out),
        )  # fmt: skip
        revision += "+misplaced_left_out"
    if candidates != "sentence":
        revision += f"+{candidates}"
    if articles is not None:
        files = {language: _first(benchmark, content, articles) for language, content in files.items()}
        revision += f"+first{articles}"
    passages = {
        language: {key: _candidate(content, key, candidates) for key in content.sentences}
        for language, content in files.items()
    }
    return RetrievalTask(
        name=benchmark.name,
        revision=revision,
        licence=benchmark.licence,
        note=benchmark.note,
        queries={language: content.questions for language, content in files.items()},
        passages=with_language(passages),
        contexts=with_language({language: content.contexts for language, content in files.items()}),
        qrels=parallel_qrels({language: content.answers for language, content in files.items()}),
        settings=settings_of(chosen),
        files={path.name: sha256(path) for path in paths.values()},
    )


def _first(benchmark: _Benchmark, content: SentenceFile, articles: int) -> SentenceFile:
    if not 1 <= articles <= content.num_articles:
        raise ConfigError(
            f"evaluation.tasks.{benchmark.name}.articles={articles}: 1 to {content.num_articles}, the first so many of "
            "the benchmark's, or null for all."
        )
    return content.first(articles)


def _candidate(content: SentenceFile, key: str, candidates: str) -> str:
    """The text of a candidate. With its context it is the sentence, a line break, and the whole paragraph.

    The paper's encoders are given both, the sentence and its paragraph; here they are one text for one encoder. The
    sentence comes first, so that a length limit cuts the paragraph, never what tells candidates of one paragraph apart;
    the paragraph stays whole, so that the sentence is read in its place too.
    """
    sentence = content.sentences[key]
    return sentence if candidates == "sentence" else f"{sentence}\n{content.contexts[key]}"


def _path(benchmark: _Benchmark, folder: Path, language: str) -> Path:
    def differs(path: Path) -> str | None:
        content = read_sentences(path)
        if benchmark.is_pinned(language, path, content):
            return None
        return f"it has {len(content.questions)} questions and {len(content.sentences)} sentences"

    name = f"{language}.json"
    url = f"{URL}/{benchmark.folder}/{name}"
    return published_file(benchmark.name, folder, name, url, differs, version=COMMIT)


@dataclass(frozen=True)
class _Benchmark:
    name: str
    folder: str
    licence: str
    note: str

    @property
    def published(self) -> Mapping[str, Mapping[str, Any]]:
        """By language, the numbers of questions and sentences, and the SHA-256 where it is known (published.toml)."""
        by_language: Mapping[str, Mapping[str, Any]] = table("published")[self.name]
        return by_language

    def is_pinned(self, language: str, path: Path, content: SentenceFile) -> bool:
        """Whether a file is the one at the pinned commit: by checksum, by its published counts where none is known."""
        published = self.published[language]
        if "sha256" in published:
            return sha256(path) == published["sha256"]
        return (len(content.questions), len(content.sentences)) == (published["questions"], published["sentences"])


XQUAD_R = _Benchmark(
    name="xquad_r",
    folder="xquad-r",
    licence="CC BY-SA 4.0",
    note="Questions and paragraphs of the SQuAD 1.1 development set with professional translations into ten languages.",
)
MLQA_R = _Benchmark(
    name="mlqa_r",
    folder="mlqa-r",
    licence="CC BY-NC 4.0",
    note="Questions and paragraphs of the MLQA development set; each question exists in two to four of the languages.",
)


@dataclass(frozen=True)
class SentenceFile:
    """questions: id -> text; sentences: "article.paragraph.sentence" (counted from 0) -> text; contexts: the same key
    -> text of the paragraph; answers: question id -> the sentence that holds the start of its answer
    (`answering_sentence`). left_out: ids of questions whose answer their paragraph does not have."""

    questions: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

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


def read_sentences(path: Path, misplaced: str = "refuse", source: str | None = None) -> SentenceFile:
    """Read one file: {"data": [{"paragraphs": [{"context", "sentences", "sentence_breaks", "qas"}]}]}.

    sentence_breaks are the [start, end) character offsets of the sentences in the context. A question with several
    answers counts by its first. misplaced: as `xquad_r` takes it; source: its configuration key.
    Raises DataError naming the file and the line, paragraph or question that is wrong.
    """
    content = SentenceFile()
    for article, entry in enumerate(squad_field(read_json(path), "data", list, str(path))):
        for number, paragraph in enumerate(squad_field(entry, "paragraphs", list, f"{path}: data[{article}]")):
            where = f"{path}: data[{article}].paragraphs[{number}]"
            _add_paragraph(content, paragraph, f"{article}.{number}", where, misplaced, source)
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


def _add_paragraph(
    content: SentenceFile, paragraph: Any, key: str, where: str, misplaced: str, source: str | None
) -> None:
    context = squad_field(paragraph, "context", str, where)
    sentences = squad_field(paragraph, "sentences", list, where)
    breaks = squad_field(paragraph, "sentence_breaks", list, where)
    if not sentences or len(sentences) != len(breaks) or not all(map(_is_span, breaks)):
        raise DataError(
            f"{where}: {len(sentences)} sentences with {len(breaks)} sentence_breaks; every sentence needs its "
            "[start, end) in the context. Use the files of the LAReQA repository, not plain XQuAD or MLQA."
        )
    for number, text in enumerate(sentences):
        content.sentences[f"{key}.{number}"] = text
        content.contexts[f"{key}.{number}"] = context
    for number, question in enumerate(squad_field(paragraph, "qas", list, where)):
        at = f"{where}.qas[{number}]"
        identity = squad_id(question, at)
        if identity in content.questions:
            raise DataError(f"{at}: question id '{identity}' occurs twice; ids must be unique within a file.")
        start = first_answer(question, context, at)
        if start is None:
            if misplaced == "refuse":
                raise DataError(misplaced_answer(question, at, source))
            content.left_out.append(identity)
            continue
        content.questions[identity] = squad_field(question, "question", str, at)
        content.answers[identity] = f"{key}.{answering_sentence(breaks, start)}"


def _article(sentence: str) -> int:
    return int(sentence.partition(".")[0])


def _is_span(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(offset, int) for offset in entry)

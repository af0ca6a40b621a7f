"""Belebele: questions on short passages, parallel in 122 language variants, as retrieval (arXiv 2308.16884)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import (
    chosen_languages,
    naming_local_languages,
    parallel_qrels,
    published_file,
    settings_of,
    table,
    warn_of_others,
    with_language,
)
from mixlingua.evaluation.benchmarks.lareqa import XQUAD_R
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import content_hash, sha256
from mixlingua.hub import on_endpoint
from mixlingua.reading import parse_json, read_lines

URL = "https://huggingface.co/datasets/facebook/belebele/resolve/main/data"
COUNTS = (900, 488)  # questions and passages of every variant, as published


def belebele(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """Belebele: 900 questions ask for the passage that answers them, out of 488; both are parallel in all languages.

    The choices of an answer are not used. A pool is the distinct passages of a language; a passage has one question or
    two.

    folder: where eng_Latn.jsonl, ... are looked for before the cache and the network
    languages: a list such as [de, sw, zh-Hant]; null: the 11 of XQuAD-R

    There are the 108 variants whose language has an ISO 639-1 code (the second script of a language with its own, such
    as zh-Hant or hi-Latn). No checksum is published: the revision is a hash of the files. A file without the published
    900 questions and 488 passages is used with a warning, and not kept where it was fetched.
    Raises DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that
    the benchmark does not have.
    """
    folder, dialects = Path(folder), dialects_by_language()
    chosen = chosen_languages("belebele", languages, dialects, XQUAD_R.published)
    with naming_local_languages("belebele", folder, {code: [_name(dialect)] for code, dialect in dialects.items()}):
        paths = {language: _path(folder, dialects[language]) for language in chosen}
    files = {language: read_questions(path, dialects[language]) for language, path in paths.items()}
    for language, content in files.items():
        if content.difference:
            warn_of_others("belebele", f"{paths[language]}: {content.difference}")
    return RetrievalTask(
        name="belebele",
        revision=f"sha256-{content_hash(*paths.values())[:16]}",
        licence="CC BY-SA 4.0",
        note="Questions on FLORES-200 passages (Wikinews, Wikibooks, Wikivoyage), passages and questions translated by "
        "people. Pools are small: 488 passages.",
        queries={language: content.questions for language, content in files.items()},
        passages=with_language({language: content.passages for language, content in files.items()}),
        qrels=parallel_qrels({language: content.answers for language, content in files.items()}),
        settings=settings_of(chosen),
        files={path.name: sha256(path) for path in paths.values()},
    )


def dialects_by_language() -> dict[str, str]:
    """FLORES-200's name of the variant that each language code stands for (belebele.toml)."""
    return table("belebele")


def _name(dialect: str) -> str:
    return f"{dialect}.jsonl"


def _path(folder: Path, dialect: str) -> Path:
    url = on_endpoint(f"{URL}/{_name(dialect)}")
    return published_file(
        "belebele", folder, _name(dialect), url, lambda path: read_questions(path, dialect).difference
    )


@dataclass(frozen=True)
class Questions:
    """One variant's file. questions and passages: id -> text; answers: question id -> passage id. Ids are the same in
    all variants."""

    questions: dict[str, str] = field(default_factory=dict)
    passages: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def difference(self) -> str | None:
        """What tells the file from a published one."""
        counts = len(self.questions), len(self.passages)
        return None if counts == COUNTS else f"it has {counts} questions and passages, not {COUNTS}"


def read_questions(path: Path, dialect: str) -> Questions:
    """Read a variant's file of JSON lines with link, question_number, flores_passage, question and dialect.

    A passage is known by its link, and its text is that of the link's first line. Raises DataError naming file and line
    where a field is missing, the dialect is not the expected one, or a question comes twice.
    """
    content = Questions()
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        row = _row(line, where)
        if row["dialect"] != dialect:
            raise DataError(f"{where}: dialect '{row['dialect']}' in the file of '{dialect}'. Fetch the file again.")
        passage, question = row["link"], f"{row['link']}#{row['question_number']}"
        if question in content.questions:
            raise DataError(
                f"{where}: question {row['question_number']} of {passage} comes twice. Fetch the file again."
            )
        content.passages.setdefault(passage, row["flores_passage"].strip())
        content.questions[question] = row["question"].strip()
        content.answers[question] = passage
    return content


def _row(line: str, where: str) -> dict[str, Any]:
    row = parse_json(line, where)
    kinds = {"link": str, "question_number": int, "flores_passage": str, "question": str, "dialect": str}
    for name, kind in kinds.items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kind):
            raise DataError(f'{where}: no {kind.__name__} "{name}"; not the format of Belebele.')
    return row

"""Translated SQuAD: one file per language, with the same question ids."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlingua.data.readers.jsonl import check_files
from mixlingua.data.rows import PIVOT, PairRow, check_texts, id_of
from mixlingua.errors import DataError, check_choice
from mixlingua.files import content_hash
from mixlingua.languages import language_of
from mixlingua.reading import open_binary, read_json

# Full stops that need a following space, and those of scripts that write without one.
_SPACED = ".!?…؟۔।॥"
_UNSPACED = "。！？｡๚๛"
_CLOSING = "\"'”’»)]）」』】〉》"
_END = re.compile(
    rf"[{re.escape(_UNSPACED)}]+[{re.escape(_CLOSING)}]*\s*"
    rf"|[{re.escape(_SPACED)}]+[{re.escape(_CLOSING)}]*\s+(?=\S)"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each sentence, in order, without surrounding space; none is empty.

    A sentence ends after . ! ? … ؟ ۔ । ॥ (with closing quotes and brackets) where space and no lower-case letter
    follows, and after 。 ！ ？ ｡ ๚ ๛ anywhere. Abbreviations before a capital letter therefore end a sentence, and
    Thai, which marks sentences with spaces alone, is split only where it uses one of these signs.
    """
    cuts = [match.end() for match in _END.finditer(text) if not text[match.end() : match.end() + 1].islower()]
    spans = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        piece = text[start:end]
        if piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            spans.append((left, left + len(piece.strip())))
    return spans


logger = logging.getLogger(__name__)

VERSION = "2"
NEAR = 16
MISPLACED = ("refuse", "leave_out")
UNITS = ("sentence", "paragraph")


@dataclass(frozen=True, slots=True)
class _Answer:
    question: str
    passage: str
    paragraph: str
    sentence: int
    where: str


class SquadReader:
    """Rows from SQuAD-format JSON files, joined by question id.

    path: a folder of `<language>.json` files, or a mapping of languages to files
    unit: the passage: sentence, the one that holds the answer's start; or paragraph, the whole context
    name: of the source
    misplaced: an answer that its context does not have: refuse it with an error, or leave_out its question

    Sentences are those of the file's `sentence_breaks` where it has them (as in XQuAD-R), else of `sentence_spans`.
    Questions marked is_impossible are left out. Questions on one passage share its id, which is its position in the
    file (the English one, where there is one). One file at a time is held in memory, and every question with its
    passage.
    """

    def __init__(
        self,
        path: str | Path | Mapping[str, str | Path],
        unit: str = "sentence",
        name: str = "squad",
        misplaced: str = "refuse",
    ) -> None:
        for key, value, choices in (("unit", unit, UNITS), ("misplaced", misplaced, MISPLACED)):
            check_choice(f"data.sources.{name}.{key}", value, choices)
        self.name = name
        self.path = path
        self.unit = unit
        self.misplaced = misplaced

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where a file or the folder is missing."""
        files = self._files()
        return content_hash("squad", VERSION, self.unit, self.misplaced, ",".join(files), *files.values())

    def rows(self) -> Iterator[PairRow]:
        """The rows in the order of the English file, else of the first. Raises DataError with file and JSON path."""
        files = self._files()
        first = [language for language in (PIVOT,) if language in files]
        by_id: dict[str, dict[str, _Answer]] = {}
        for language in [*first, *(language for language in files if language not in first)]:
            for name, answer in self._answers(files[language]):
                found = by_id.setdefault(name, {})
                if language in found:
                    raise DataError(
                        f"{answer.where}.id: duplicate question id '{name}', first at {found[language].where}."
                    )
                found[language] = answer
        for name, answers in by_id.items():
            pivot = next(iter(answers.values()))
            row = PairRow(
                id=name,
                queries={language: answer.question for language, answer in answers.items()},
                passages={language: answer.passage for language, answer in answers.items()},
                passage_id=f"{pivot.paragraph}.{pivot.sentence}",
                # Translations cut sentences differently: rows that share the sentence in any language share an id.
                touches=tuple(sorted({f"{pivot.paragraph}.{answer.sentence}" for answer in answers.values()})),
                split_key=pivot.paragraph,
            )
            check_texts(row, pivot.where)
            yield row

    def _files(self) -> dict[str, Path]:
        if isinstance(self.path, Mapping):
            key = f"data.sources.{self.name}.path"
            found = {language_of(language, key): Path(file) for language, file in self.path.items()}
            check_files(list(found.values()), key)
        else:
            found = {language_of(file.stem, str(file)): file for file in Path(self.path).glob("*.json")}
        if not found:
            raise DataError(
                f"{self.path}: no <language>.json files. Set data.sources.{self.name}.path to a folder of SQuAD-format "
                "files such as de.json, or to a mapping {de: FILE, ...}."
            )
        for file in found.values():
            open_binary(file).close()
        return dict(sorted(found.items()))

    def _answers(self, file: Path) -> Iterator[tuple[str, _Answer]]:
        left_out = 0
        for a, article in enumerate(squad_field(read_json(file), "data", list, f"{file}")):
            for p, paragraph in enumerate(squad_field(article, "paragraphs", list, f"{file}: data[{a}]")):
                where = f"{file}: data[{a}].paragraphs[{p}]"
                context = squad_field(paragraph, "context", str, where)
                spans = self._spans(paragraph, context, where)
                for q, question in enumerate(squad_field(paragraph, "qas", list, where)):
                    at = f"{where}.qas[{q}]"
                    if isinstance(question, dict) and question.get("is_impossible"):
                        continue
                    start = first_answer(question, context, at)
                    if start is None:
                        if self.misplaced == "refuse":
                            raise DataError(misplaced_answer(question, at, f"data.sources.{self.name}"))
                        left_out += 1
                        continue
                    number = max((i for i, (left, _) in enumerate(spans) if left <= start), default=0)
                    left, right = spans[number]
                    text = squad_field(question, "question", str, at)
                    yield squad_id(question, at), _Answer(text, context[left:right].strip(), f"{a}.{p}", number, at)
        if left_out:
            logger.warning("%s: %d questions left out whose answers do not stand in their contexts.", file, left_out)

    def _spans(self, paragraph: dict[str, Any], context: str, where: str) -> list[tuple[int, int]]:
        if self.unit == "paragraph":
            return [(0, len(context))]
        if "sentence_breaks" not in paragraph:
            return sentence_spans(context)
        breaks = squad_field(paragraph, "sentence_breaks", list, where)
        for s, span in enumerate(breaks):
            if not (
                isinstance(span, list)
                and len(span) == 2
                and all(isinstance(end, int) for end in span)
                and 0 <= span[0] < span[1] <= len(context) + 1
            ):
                raise DataError(
                    f"{where}.sentence_breaks[{s}]: {span!r} is no span of a context of {len(context)} characters."
                )
        return [(left, right) for left, right in breaks]


_KINDS: dict[type, str] = {str: "a text", list: "a list"}


def squad_field(node: Any, name: str, kind: type, where: str) -> Any:
    """A field of an object in a SQuAD file: a text, which is not blank, or a list. Raises DataError, starting with
    `where`, file and JSON path, for anything else."""
    value = node.get(name) if isinstance(node, dict) else None
    if not isinstance(value, kind) or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{where}: '{name}' is {value!r:.80}, and the SQuAD format has {_KINDS[kind]} there.")
    return value


def squad_id(question: Any, where: str) -> str:
    """The id of a question, a text or a whole number. Raises DataError, starting with `where`, for anything else."""
    return id_of(question.get("id") if isinstance(question, dict) else None, f"{where}: 'id'")


def first_answer(question: Any, context: str, where: str) -> int | None:
    """Where the first answer to a question stands, as `answer_start` gives it. Raises DataError where there is none."""
    answers = squad_field(question, "answers", list, where)
    if not answers:
        raise DataError(f"{where}: question '{question.get('id')}' has no answer. Mend the file, or remove it.")
    return answer_start(answers[0], context, f"{where}.answers[0]")


def answer_start(answer: Any, context: str, where: str) -> int | None:
    """Where the text of an answer, `{"text", "answer_start"}`, stands in its context, in characters; None: not in it.

    Other programs count bytes of UTF-8, or units of UTF-16, in which an emoji is two; others trim a context and keep
    the offsets. Where the text does not stand at answer_start as characters, it is looked for at what that means in
    these, then within NEAR characters, then anywhere: in both where it stands once.
    Raises DataError, starting with `where`, for what is no answer.
    """
    start, text = (answer.get(field) if isinstance(answer, dict) else None for field in ("answer_start", "text"))
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise DataError(f"{where}.answer_start: {start!r} is no position in a context of {len(context)} characters.")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}.text: {text!r}; an answer needs its text, as it stands in the context.")
    if context.startswith(text, start):
        return start
    for encoding, width in (("utf-16-le", 2), ("utf-8", 1)):
        position = len(context.encode(encoding)[: start * width].decode(encoding, errors="ignore"))
        if context.startswith(text, position):
            return position
    near = max(0, start - NEAR)
    for first, last in ((near, start + NEAR + len(text)), (0, len(context))):
        if context.count(text, first, last) == 1:
            return context.index(text, first, last)
    return None


def misplaced_answer(question: dict[str, Any], where: str, source: str | None = None) -> str:
    """What to tell of a question whose answer is not found by `answer_start`; source: its key, where it can be left
    out."""
    answer = question["answers"][0]
    return (
        f"{where}: question '{question.get('id')}': its answer '{answer['text']}' does not stand at answer_start "
        f"{answer['answer_start']} of its context, and not once elsewhere in it. Mend the file, or remove the question"
        + (f"; {source}.misplaced=leave_out counts such questions and leaves them out." if source else ".")
    )

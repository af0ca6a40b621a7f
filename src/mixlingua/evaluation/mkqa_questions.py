"""The file of MKQA: one question of Natural Questions a line, in 26 languages, with its answers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlingua.data.readers.lines import read_lines
from mixlingua.errors import DataError
from mixlingua.retrieval.corpus import entry_id, parse_fields

NO_ANSWER = frozenset({"unanswerable", "long_answer", "binary"})  # types of answers that no passage is searched for


@dataclass(frozen=True)
class Questions:
    """The questions with short answers. texts: what the file calls a language -> id -> question; answers: id -> English
    answers; examples: how many lines the file has."""

    texts: Mapping[str, Mapping[str, str]]
    answers: Mapping[str, tuple[str, ...]]
    examples: int


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
        if found := _answers(_part(fields, "answers", "en", where), f"{where}: question '{identity}'"):
            answers[identity] = found
            for code, own in texts.items():
                text = _part(fields, "queries", code, where)
                if not isinstance(text, str) or not text.strip():
                    raise DataError(f"{where}: question '{identity}' has no text in {code}. Fetch the file again.")
                own[identity] = text.strip()
    if not answers:
        raise DataError(f"{path}: no question has a short answer in English. Is it the file of MKQA?")
    return Questions(texts, answers, len(lines))


def _part(fields: dict[str, Any], name: str, code: str, where: str) -> Any:
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

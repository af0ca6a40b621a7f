"""Sentence pairs as the files of XNLI and MultiNLI hold them."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mixlingua.data.readers.lines import read_lines
from mixlingua.errors import DataError

LABELS = ("contradiction", "entailment", "neutral")


class SentencePair(NamedTuple):
    """label: what the premise says of the hypothesis, one of LABELS."""

    premise: str
    hypothesis: str
    label: str


Pairs = dict[str, SentencePair]  # by id; parallel pairs share theirs


def read_xnli(path: Path, languages: Collection[str]) -> dict[str, Pairs]:
    """xnli.dev.tsv or xnli.test.tsv: language -> pair id -> pair, for these languages, as the file orders them.

    Raises DataError naming file and line for a missing column, an unknown label, a blank sentence or an id that comes
    twice, and naming the languages that the file lacks.
    """
    found: dict[str, Pairs] = {language: {} for language in languages}
    for number, row in _rows(path, ("language", "gold_label", "sentence1", "sentence2", "pairID")):
        if (pairs := found.get(row["language"])) is None:
            continue
        if row["pairID"] in pairs:
            raise DataError(f"{path}:{number}: pair {row['pairID']} comes twice in {row['language']}; fetch it again.")
        pairs[row["pairID"]] = _pair(row["sentence1"], row["sentence2"], row["gold_label"], f"{path}:{number}")
    if empty := [language for language, pairs in found.items() if not pairs]:
        raise DataError(f"{path}: no pairs in {', '.join(empty)}. Leave the language out, or fetch the file again.")
    return found


def read_multinli(path: Path) -> Pairs:
    """multinli.train.en.tsv, English: line number -> pair. Its texts are tokenised, with blanks before punctuation.

    Raises DataError as `read_xnli` does.
    """
    return {
        str(number): _pair(row["premise"], row["hypo"], row["label"], f"{path}:{number}")
        for number, row in _rows(path, ("premise", "hypo", "label"))
    }


def _rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line numbers and fields by column: tab-separated, where quotes mean nothing."""
    lines = read_lines(path)
    header = next(lines)[1].split("\t")
    if missing := [name for name in columns if name not in header]:
        raise DataError(f"{path}:1: no column {', '.join(missing)}; it has {', '.join(header)}. Is it the right file?")
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise DataError(f"{path}:{number}: {len(fields)} fields under {len(header)} columns; fetch the file again.")
        yield number, dict(zip(header, fields, strict=True))


def _pair(premise: str, hypothesis: str, label: str, where: str) -> SentencePair:
    label = "contradiction" if label == "contradictory" else label  # as MultiNLI's file has it
    if label not in LABELS:
        raise DataError(f"{where}: label '{label}' is none of {', '.join(LABELS)}; fetch the file again.")
    if not premise.strip() or not hypothesis.strip():
        raise DataError(f"{where}: a blank sentence; fetch the file again.")
    return SentencePair(premise, hypothesis, label)

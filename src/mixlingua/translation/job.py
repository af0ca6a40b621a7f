"""Translating what rows lack, one language after the other, from batches to verdicts."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from mixlingua.errors import CheckpointError, ConfigError, DataError
from mixlingua.files import content_hash, storage_error
from mixlingua.languages import check_language
from mixlingua.retrieval.encode import length_sorted_batches
from mixlingua.translation.gate import Gate, Verdict, chrf
from mixlingua.translation.model import Translated, Translator
from mixlingua.translation.texts import Pieces, SourceTexts, joined


@dataclass(frozen=True)
class Translation:
    """languages: what every row shall have; a row's own texts are kept, what it lacks is translated from `source`.

    num_beams: hypotheses of the beam search, 1 for greedy search. piece_tokens: a text of more tokens is cut between
    its sentences into pieces of at most so many (a sentence stays whole). max_growth: tokens of a translation for each
    token of its source, at most. token_budget: source tokens of a batch, padding included. Raises ConfigError for
    values that cannot work.
    """

    source: str
    languages: Sequence[str]
    num_beams: int
    piece_tokens: int
    max_growth: float
    token_budget: int
    gate: Gate

    def __post_init__(self) -> None:
        check_language(self.source, "translation.source")
        for language in self.languages:
            check_language(language, "translation.languages")
        twice = sorted({language for language in self.languages if list(self.languages).count(language) > 1})
        if twice:
            raise ConfigError(f"translation.languages: {', '.join(twice)} given more than once.")
        if not set(self.languages) - {self.source}:
            raise ConfigError(
                f"translation.languages={list(self.languages)}: nothing to translate '{self.source}' into; name other "
                "languages, such as translation.languages=[de,ar]."
            )
        for key in ("num_beams", "piece_tokens", "token_budget"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"translation.{key}={value}: a whole number of 1 or more is needed.")
        if self.max_growth < 1:
            raise ConfigError(
                f"translation.max_growth={self.max_growth}: 1 or more; below it translations are cut off."
            )


class Journal:
    """Translations by the position of their source, kept in a file of JSON lines.

    The first line holds the settings that decided them; each other line is a batch: `{"pieces", "texts", "finished"}`.
    A line is on the disk before the next batch begins. What a killed process left unfinished at the end is cut off.
    """

    def __init__(self, file: Path, settings: Mapping[str, object]) -> None:
        """Open or begin the journal. Raises CheckpointError naming each setting that differs, DataError for a damaged
        line."""
        self.file = file
        self.translated: dict[int, Translated] = {}
        lines = _whole_lines(file)
        if not lines:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._append(dict(settings))
            return
        entries = [_parse(line, f"{file}:{number}") for number, line in enumerate(lines, start=1)]
        self._check(entries[0], json.loads(json.dumps(dict(settings))))
        for number, entry in enumerate(entries[1:], start=2):
            try:
                batch = zip(entry["pieces"], entry["texts"], entry["finished"], strict=True)
                self.translated.update({piece: Translated(text, finished) for piece, text, finished in batch})
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{file}:{number}: not a batch of translations ({error!r}). {_REMEDY}") from error

    def add(self, pieces: Sequence[int], translated: Sequence[Translated]) -> None:
        """Keep a batch. Raises StorageError where the disk is full."""
        texts, finished = zip(*translated, strict=True)
        self._append({"pieces": list(pieces), "texts": texts, "finished": finished})
        self.translated.update(zip(pieces, translated, strict=True))

    def _append(self, entry: Mapping[str, object]) -> None:
        try:
            with self.file.open("ab") as file:
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if full := storage_error(self.file, error):
                raise full from error
            raise

    def _check(self, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
        differences = [
            f"{name} was {saved.get(name)!r}, is {current.get(name)!r}"
            for name in dict.fromkeys([*saved, *current])
            if saved.get(name) != current.get(name)
        ]
        if differences:
            raise CheckpointError(
                f"{self.file}: what is there was translated otherwise: {'; '.join(differences)}. Restore these "
                "settings, or translate anew in another hydra.run.dir."
            )


_REMEDY = "Delete the line, whose texts are then translated again."


def _whole_lines(file: Path) -> list[bytes]:
    """The lines of a file; a last one without its ending, which a killed process left, is cut off on the disk."""
    if not file.exists():
        return []
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(file, whole)
    return content[:whole].splitlines()


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: damaged ({error}). {_REMEDY}") from error
    if not isinstance(entry, dict):
        raise DataError(f"{where}: damaged (no object). {_REMEDY}")
    return entry


Progress = Callable[[str, int, int], None]  # stage such as "en->de", source tokens done in it, source tokens of it
ByPiece = Mapping[int, int] | Sequence[int]


def open_batches(wanted: Sequence[int], lengths: ByPiece, journal: Journal, token_budget: int) -> list[list[int]]:
    """Batches of the wanted pieces that the journal does not hold, longest first.

    Where it holds the first batches of all, these are the others of all: a piece is translated in the same company, and
    so in the same way, whether or not the process was stopped before.
    """
    rest = [piece for piece in wanted if piece not in journal.translated]
    batches = length_sorted_batches([lengths[piece] for piece in rest], token_budget)
    return [[rest[place] for place in batch] for batch in batches]


def translate_batches(
    translator: Translator,
    journal: Journal,
    batches: Sequence[Sequence[int]],
    texts: Mapping[int, str] | Sequence[str],
    lengths: ByPiece,
    source: str,
    target: str,
    settings: Translation,
    progress: Progress,
) -> None:
    """Translate batches of pieces, each written to the journal before the next begins."""
    total = sum(lengths[piece] for batch in batches for piece in batch)
    done = 0
    for batch in batches:
        longest = max(lengths[piece] for piece in batch)
        translated = translator.translate(
            [texts[piece] for piece in batch],
            source,
            target,
            num_beams=settings.num_beams,
            max_new_tokens=ceil(settings.max_growth * longest),
        )
        journal.add(batch, translated)
        done += sum(lengths[piece] for piece in batch)
        progress(f"{source}->{target}", done, total)


class Cost(NamedTuple):
    """What is still to do for a language. num_done: pieces that are there already."""

    num_texts: int
    num_pieces: int
    num_done: int
    num_tokens: int
    num_batches: int


@dataclass(frozen=True)
class Job:
    """The texts that rows lack, and a folder that holds what was translated of them (`Journal`).

    A batch has the same texts whether or not the process was killed before it, so that the translations are the same.
    """

    translator: Translator
    settings: Translation
    sources: SourceTexts
    pieces: Pieces
    folder: Path

    def cost(self, language: str) -> Cost:
        """What a language costs. Raises CheckpointError where the folder holds translations by other settings."""
        journal = self._journal(language)
        wanted = self._wanted(language)
        batches = open_batches(wanted, self.pieces.lengths, journal, self.settings.token_budget)
        rest = [piece for batch in batches for piece in batch]
        num_tokens = sum(self.pieces.lengths[piece] for piece in rest)
        num_texts = len(self.sources.needed(language))
        return Cost(num_texts, len(wanted), len(wanted) - len(rest), num_tokens, len(batches))

    def translate(self, language: str, progress: Progress) -> tuple[dict[int, Verdict], float | None]:
        """A verdict for each text that rows need in a language, by its position in `sources.texts`, and the ratio of
        lengths by which they were judged (None where there was nothing to measure it on)."""
        journal = self._journal(language)
        source = self.settings.source
        texts, lengths = self.pieces.texts, self.pieces.lengths
        batches = open_batches(self._wanted(language), lengths, journal, self.settings.token_budget)
        translate_batches(self.translator, journal, batches, texts, lengths, source, language, self.settings, progress)
        needed = self.sources.needed(language)
        parts = {
            text: [(self.pieces.texts[piece], journal.translated.get(piece)) for piece in self.pieces.of_text[text]]
            for text in needed
        }
        verdicts, ratio = self.settings.gate.judge({text: self.sources.texts[text] for text in needed}, parts, language)
        if self.settings.gate.min_round_trip is not None:
            self._send_back(verdicts, language, journal, progress)
        return verdicts, ratio

    def _send_back(self, verdicts: dict[int, Verdict], language: str, journal: Journal, progress: Progress) -> None:
        """Reject those of the accepted texts of which too little is left when they are translated back."""
        least = self.settings.gate.min_round_trip
        assert least is not None
        accepted = [text for text, verdict in verdicts.items() if verdict.reason is None]
        pieces = self.pieces.wanted(accepted, self.translator.max_tokens)
        texts = {piece: journal.translated[piece].text for piece in pieces}
        lengths = dict(zip(pieces, self.translator.lengths(list(texts.values()), language), strict=True))
        fitting = [piece for piece in pieces if lengths[piece] <= self.translator.max_tokens]
        back = self._journal(language, of=journal)
        batches = open_batches(fitting, lengths, back, self.settings.token_budget)
        source = self.settings.source
        translate_batches(self.translator, back, batches, texts, lengths, language, source, self.settings, progress)
        for text in accepted:
            found = [back.translated[p].text for p in self.pieces.of_text[text] if p in back.translated]
            if (score := chrf(joined(found, source), self.sources.texts[text])) < least:
                verdicts[text] = Verdict(verdicts[text].text, "round_trip", score)

    def _wanted(self, language: str) -> list[int]:
        return self.pieces.wanted(self.sources.needed(language), self.translator.max_tokens)

    def _journal(self, language: str, of: Journal | None = None) -> Journal:
        """The journal of a language; of: of the way back of that journal's translations."""
        source = self.settings.source
        settings = {
            **self.translator.identity,
            "from": language if of else source,
            "to": source if of else language,
            "num_beams": self.settings.num_beams,
            "max_growth": self.settings.max_growth,
            "piece_tokens": self.settings.piece_tokens,
            "num_pieces": len(self.pieces.texts),
            "source_texts": self.pieces.fingerprint(),
        }
        if of:
            found = sorted(of.translated.items())
            settings["source_texts"] = content_hash(*(f"{piece}:{translated.text}" for piece, translated in found))[:16]
        return Journal(self.folder / f"{settings['from']}-{settings['to']}.jsonl", settings)

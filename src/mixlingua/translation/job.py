"""Translating what rows lack, one language after the other: settings, the journal of finished batches, verdicts."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from mixlingua.errors import CheckpointError, ConfigError, DataError, check_whole, differences
from mixlingua.files import content_hash, storage_error
from mixlingua.languages import check_language
from mixlingua.retrieval.encode import length_sorted_batches
from mixlingua.translation.gate import Gate, Verdict, chrf
from mixlingua.translation.model import Translated, Translator
from mixlingua.translation.texts import Pieces, SourceTexts, joined


@dataclass(frozen=True)
class Translation:
    """What is translated into what, and how.

    languages: what every row shall have; a row keeps its own texts
    source: the language that is translated; rows without it stay as they are
    num_beams: of the beam search; 1: greedy, which is faster
    piece_tokens: longer texts are cut between sentences into pieces of so many tokens; 1: each sentence alone
    max_growth: tokens of a translation for each token of its source, at most; what is longer is rejected
    token_budget: source tokens translated at once, padding included
    gate: what a translation must keep to; a row lacks the languages in which its texts do not
    Raises ConfigError for values that cannot work.
    """

    languages: Sequence[str]
    source: str = "en"
    num_beams: int = 4
    piece_tokens: int = 128
    max_growth: float = 3.0
    token_budget: int = 2048
    gate: Gate = field(default_factory=Gate)

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
            check_whole(f"translation.{key}", getattr(self, key), 1)
        if self.max_growth < 1:
            raise ConfigError(
                f"translation.max_growth={self.max_growth}: must be at least 1; below, translations are cut off."
            )


class Journal:
    """Translations by the position of their source piece, kept in a file of JSON lines.

    The first line holds the settings that decided them; each other line is a batch: `{"pieces", "texts", "finished"}`.
    A line is on the disk before the next batch begins. A last line that a killed process left unfinished is cut off.
    """

    def __init__(self, file: Path, settings: Mapping[str, object]) -> None:
        """Open the journal, or begin it.

        Raises CheckpointError naming each setting that differs, and DataError for a damaged line.
        """
        self.file = file
        self.translated: dict[int, Translated] = {}
        lines = _whole_lines(file)
        if not lines:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._append(dict(settings))
            return
        saved, *batches = (_parse(line, f"{file}:{number}") for number, line in enumerate(lines, start=1))
        if changed := differences(saved, json.loads(json.dumps(dict(settings)))):
            raise CheckpointError(
                f"{file}: what is there was translated otherwise: {'; '.join(changed)}. Restore these settings, or "
                "translate anew in another hydra.run.dir."
            )
        for number, batch in enumerate(batches, start=2):
            try:
                entries = zip(batch["pieces"], batch["texts"], batch["finished"], strict=True)
                self.translated.update({piece: Translated(text, finished) for piece, text, finished in entries})
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
            raise storage_error(self.file, error) or error from error


_REMEDY = "Delete the line; its texts are then translated again."


def _whole_lines(file: Path) -> list[bytes]:
    """The lines of a file. A last one without its line end is cut off on the disk."""
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

    Where the journal holds the first batches of all, these are the others: a piece is translated in the same batch, and
    so in the same way, whether or not the process was stopped before.
    """
    rest = [piece for piece in wanted if piece not in journal.translated]
    batches = length_sorted_batches([lengths[piece] for piece in rest], token_budget, padded=True)
    return [[rest[position] for position in batch] for batch in batches]


class Cost(NamedTuple):
    """What is still to do for a language. num_done: pieces that are translated already."""

    num_texts: int
    num_pieces: int
    num_done: int
    num_tokens: int
    num_batches: int


@dataclass(frozen=True)
class Job:
    """The texts that rows lack, and a folder with the journal of each direction, such as en-de.jsonl.

    A batch has the same texts whether or not the process was killed before it, so that the translations are the same.
    """

    translator: Translator
    settings: Translation
    sources: SourceTexts
    pieces: Pieces
    folder: Path

    def cost(self, language: str) -> Cost:
        """What a language costs. Raises CheckpointError where the folder holds translations by other settings."""
        wanted, lengths = self._wanted(language), self.pieces.lengths
        batches = open_batches(wanted, lengths, self._journal(language), self.settings.token_budget)
        rest = [piece for batch in batches for piece in batch]
        num_tokens = sum(lengths[piece] for piece in rest)
        num_texts = len(self.sources.needed(language))
        return Cost(num_texts, len(wanted), len(wanted) - len(rest), num_tokens, len(batches))

    def translate(self, language: str, progress: Progress) -> tuple[dict[int, Verdict], float | None]:
        """Translate what rows need in a language, each batch written to the journal before the next begins.

        Returns a verdict for each text by its position in `sources.texts`, and the length ratio that the texts were
        judged by (None where no text could be measured).
        """
        source, pieces, gate = self.settings.source, self.pieces, self.settings.gate
        journal = self._journal(language)
        self._complete(journal, self._wanted(language), pieces.texts, pieces.lengths, source, language, progress)
        sources = {text: self.sources.texts[text] for text in self.sources.needed(language)}
        translated = {
            text: [(pieces.texts[piece], journal.translated.get(piece)) for piece in pieces.of_text[text]]
            for text in sources
        }
        verdicts, ratio = gate.judge(sources, translated, language)
        if gate.min_round_trip is not None:
            accepted = [text for text, verdict in verdicts.items() if verdict.reason is None]
            for text, score in self._round_trips(accepted, language, journal, progress).items():
                if score < gate.min_round_trip:
                    verdicts[text] = Verdict(verdicts[text].text, "round_trip", score)
        return verdicts, ratio

    def _round_trips(
        self, accepted: Sequence[int], language: str, journal: Journal, progress: Progress
    ) -> dict[int, float]:
        """Translate accepted texts back. Returns the chrF of each with its source; a piece that is too long is lost."""
        source = self.settings.source
        pieces = self.pieces.wanted(accepted, self.translator.max_tokens)
        texts = {piece: journal.translated[piece].text for piece in pieces}
        lengths = dict(zip(pieces, self.translator.lengths(list(texts.values()), language), strict=True))
        wanted = [piece for piece in pieces if lengths[piece] <= self.translator.max_tokens]
        back = self._journal(language, forward=journal)
        self._complete(back, wanted, texts, lengths, language, source, progress)
        scores = {}
        for text in accepted:
            parts = [back.translated[piece].text for piece in self.pieces.of_text[text] if piece in back.translated]
            scores[text] = chrf(joined(parts, source), self.sources.texts[text])
        return scores

    def _complete(
        self, journal: Journal, wanted: Sequence[int], texts: Mapping[int, str] | Sequence[str], lengths: ByPiece,
        source: str, target: str, progress: Progress,
    ) -> None:  # fmt: skip
        """Translate the wanted pieces that the journal lacks, batch by batch."""
        batches = open_batches(wanted, lengths, journal, self.settings.token_budget)
        total, done = sum(lengths[piece] for batch in batches for piece in batch), 0
        for batch in batches:
            translated = self.translator.translate(
                [texts[piece] for piece in batch],
                source,
                target,
                num_beams=self.settings.num_beams,
                max_new_tokens=ceil(self.settings.max_growth * max(lengths[piece] for piece in batch)),
            )
            journal.add(batch, translated)
            done += sum(lengths[piece] for piece in batch)
            progress(f"{source}->{target}", done, total)

    def _wanted(self, language: str) -> list[int]:
        return self.pieces.wanted(self.sources.needed(language), self.translator.max_tokens)

    def _journal(self, language: str, forward: Journal | None = None) -> Journal:
        """The journal of the translations into a language; or, with their journal, of the way back."""
        source, target, source_texts = self.settings.source, language, self.pieces.fingerprint()
        if forward is not None:
            source, target = language, self.settings.source
            translated = (f"{piece}:{translation.text}" for piece, translation in sorted(forward.translated.items()))
            source_texts = content_hash(*translated)[:16]
        settings = {
            **self.translator.identity,
            "from": source,
            "to": target,
            "num_beams": self.settings.num_beams,
            "max_growth": self.settings.max_growth,
            "piece_tokens": self.settings.piece_tokens,
            "num_pieces": len(self.pieces.texts),
            "source_texts": source_texts,
        }
        return Journal(self.folder / f"{source}-{target}.jsonl", settings)

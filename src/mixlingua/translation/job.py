"""Translating what rows lack, one language after the other, from batches to verdicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mixlingua.files import content_hash
from mixlingua.translation.batches import Progress, open_batches, translate_batches
from mixlingua.translation.gate import Verdict
from mixlingua.translation.journal import Journal
from mixlingua.translation.pieces import Pieces, joined
from mixlingua.translation.round_trip import chrf
from mixlingua.translation.settings import Translation
from mixlingua.translation.texts import SourceTexts
from mixlingua.translation.translator import Translator


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

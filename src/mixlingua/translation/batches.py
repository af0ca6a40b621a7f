"""Batches of pieces, and handing them to the translator until all are in the journal."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from mixlingua.retrieval.length_batches import length_sorted_batches
from mixlingua.translation.journal import Journal
from mixlingua.translation.settings import Translation
from mixlingua.translation.translator import Translator

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

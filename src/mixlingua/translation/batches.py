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
    """The batches of the wanted pieces, longest first, without the pieces that the journal holds.

    A batch that no process finished has the same pieces as ever, and so the same translations; with another token
    budget, what is left is shared out anew.
    """
    batches = length_sorted_batches([lengths[piece] for piece in wanted], token_budget)
    rest = ([wanted[place] for place in batch if wanted[place] not in journal.translated] for batch in batches)
    return [batch for batch in rest if batch]


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

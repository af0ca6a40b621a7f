"""Tatoeba: short sentences with English translations, the bitext test set of LASER (arXiv 1812.10464)."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.public_corpora import is_published, public_files
from mixlingua.data.readers.bitext import COMMIT, names, pair_files
from mixlingua.evaluation.benchmarks.common import chosen_languages, naming_local_languages, revision_of
from mixlingua.evaluation.tasks import BitextTask
from mixlingua.files import read_aligned, read_lines, sha256

# What XTREME (arXiv 2003.11080) reports, and most papers after it.
XTREME = (
    *("af", "ar", "bg", "bn", "de", "el", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja"),
    *("jv", "ka", "kk", "ko", "ml", "mr", "nl", "pt", "ru", "sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "zh"),
)


def tatoeba(folder: str | Path, languages: Sequence[str] | None = None) -> BitextTask:
    """Tatoeba v1: up to 1,000 sentences in each language and their English translations, searched both ways.

    folder: where tatoeba.deu-eng.deu, tatoeba.deu-eng.eng, ... are looked for before the cache and the network.
    languages: those paired with English, of the 84 with an ISO 639-1 code; by default the 36 of XTREME. The English
    sentences differ from pair to pair. Files are recognised by their checksum, where the project has seen them (19
    languages), else by their published number of lines; others are used with a revision of their own.
    Raises DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that
    the benchmark does not have.
    """
    folder, known = Path(folder), public_files()["tatoeba"]
    chosen = chosen_languages("tatoeba", languages, {language: code for language, (code, _) in known.items()}, XTREME)
    with naming_local_languages("tatoeba", folder, {language: names(language) for language in known}):
        paths = {language: pair_files(folder, language, "task tatoeba") for language in chosen}
    every = [path for pair in paths.values() for path in pair]
    others = [
        path
        for language, pair in paths.items()
        for path in pair
        if not is_published(path.name, path, known[language][1])
    ]
    return BitextTask(
        name="tatoeba",
        revision=revision_of("tatoeba", COMMIT, every, others),
        licence="CC BY 2.0 FR",
        note="Short sentences, those of small languages much alike; the English side differs from pair to pair. "
        "recall_at_1 is the accuracy that others report.",
        bitexts={(language, "en"): _sides(*pair) for language, pair in paths.items()},
        files={path.name: sha256(path) for path in every},
    )


def _sides(foreign: Path, english: Path) -> tuple[list[str], list[str]]:
    number = sum(1 for _ in read_lines(english))
    return read_aligned(foreign, number, english), read_aligned(english, number, foreign)

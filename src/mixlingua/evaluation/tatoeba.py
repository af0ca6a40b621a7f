"""Tatoeba: short sentences with English translations, the bitext test set of LASER (arXiv 1812.10464)."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.readers.lines import read_aligned, read_lines
from mixlingua.evaluation.bitext import BitextTask
from mixlingua.evaluation.published import (
    chosen_languages,
    fetched_lines,
    is_published,
    naming_local_languages,
    public_files,
    revision_of,
)
from mixlingua.files import cache_dir, sha256

COMMIT = "fec5c7d63daa2bea9d127e8252b10e87278586c0"
URL = f"https://raw.githubusercontent.com/facebookresearch/LASER/{COMMIT}/data/tatoeba/v1"

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
    with naming_local_languages("tatoeba", folder, {language: _names(language) for language in known}):
        paths = {language: [_path(folder, language, name) for name in _names(language)] for language in chosen}
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


def _names(language: str) -> tuple[str, str]:
    code, _ = public_files()["tatoeba"][language]
    return f"tatoeba.{code}-eng.{code}", f"tatoeba.{code}-eng.eng"


def _path(folder: Path, language: str, name: str) -> Path:
    return fetched_lines(
        name,
        task="tatoeba",
        folder=folder,
        cached=cache_dir() / "tatoeba" / COMMIT / name,
        url=f"{URL}/{name}",
        num_lines=public_files()["tatoeba"][language][1],
    )


def _sides(foreign: Path, english: Path) -> tuple[list[str], list[str]]:
    number = sum(1 for _ in read_lines(english))
    return read_aligned(foreign, number, english), read_aligned(english, number, foreign)

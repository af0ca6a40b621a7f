"""Tatoeba: short sentences with English translations, the bitext test set of LASER (arXiv 1812.10464)."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.public_corpora import public_corpus
from mixlingua.evaluation.benchmarks.common import chosen_languages, naming_local_languages, revision_of
from mixlingua.evaluation.tasks import BitextTask
from mixlingua.files import read_aligned, sha256

# What XTREME (arXiv 2003.11080) reports, and most papers after it.
XTREME = (
    *("af", "ar", "bg", "bn", "de", "el", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja"),
    *("jv", "ka", "kk", "ko", "ml", "mr", "nl", "pt", "ru", "sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "zh"),
)


def tatoeba(folder: str | Path, languages: Sequence[str] | None = None) -> BitextTask:
    """Tatoeba v1: up to 1,000 sentences in each language and their English translations, searched both ways.

    folder: where tatoeba.deu-eng.deu, tatoeba.deu-eng.eng, ... are looked for before the cache and the network
    languages: paired with English, such as [de, fr], of 84; null: the 36 of XTREME

    The English sentences differ from pair to pair. Files are recognised by their checksum, where the project has seen
    them (19 languages), else by their published number of lines; others are used with a revision of their own.
    Raises DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that
    the benchmark does not have.
    """
    folder, corpus = Path(folder), public_corpus("tatoeba")
    parts = corpus.parts(corpus.languages, "task tatoeba").values()
    pairs = {next(iter(part)): list(part.values()) for part in parts}  # language -> its file, and the English one
    codes = {language: foreign.name.rpartition(".")[2] for language, (foreign, _) in pairs.items()}
    chosen = chosen_languages("tatoeba", languages, codes, XTREME)
    names = {language: [file.name for file in pair] for language, pair in pairs.items()}
    with naming_local_languages("tatoeba", folder, names):
        paths = {
            language: [file.local_or_fetched(folder, "task tatoeba") for file in pairs[language]] for language in chosen
        }
    every = [path for pair in paths.values() for path in pair]
    published = [file for language in chosen for file in pairs[language]]
    others = [path for path, file in zip(every, published, strict=True) if not file.is_published(path)]
    return BitextTask(
        name="tatoeba",
        revision=revision_of("tatoeba", corpus.commit, every, others),
        licence=corpus.licence,
        note="Short sentences, those of small languages much alike; the English side differs from pair to pair. "
        "recall_at_1 is the accuracy that others report.",
        bitexts={(language, "en"): _sides(*pair) for language, pair in paths.items()},
        files={path.name: sha256(path) for path in every},
    )


def _sides(foreign: Path, english: Path) -> tuple[list[str], list[str]]:
    lines = [texts for _, texts in read_aligned({"foreign": foreign, "english": english})]
    return [texts["foreign"] for texts in lines], [texts["english"] for texts in lines]

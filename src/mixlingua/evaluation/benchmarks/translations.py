"""Sentences and their translations: NTREX-128 and any parallel source in all directions, Tatoeba to and from English.

Their files are those of `mixlingua.data.public_corpora`.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mixlingua.data.public_corpora import DOCUMENTS, PublicCorpus, PublicFile, public_corpus
from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.errors import ConfigError
from mixlingua.evaluation.benchmarks.common import (
    chosen_languages,
    naming_local_languages,
    revision_of,
    with_language,
)
from mixlingua.evaluation.benchmarks.lareqa import XQUAD_R
from mixlingua.evaluation.tasks import BitextTask, RetrievalTask
from mixlingua.files import sha256
from mixlingua.reading import read_aligned

# What XTREME (arXiv 2003.11080) reports of Tatoeba, and most papers after it.
XTREME = (
    *("af", "ar", "bg", "bn", "de", "el", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja"),
    *("jv", "ka", "kk", "ko", "ml", "mr", "nl", "pt", "ru", "sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "zh"),
)


def ntrex(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """NTREX-128: each of 1,997 sentences asks for its translations, in every ordered pair of languages.

    Source: Federmann, Kocmi, Xin 2022, github.com/MicrosoftTranslator/NTREX. Cross-lingual: the pool is all sentences
    of the other language, the one translation is relevant. Multilingual: the pool is all sentences of all languages but
    the query itself, which is no find; its translations are relevant, and other sentences in the query's own language
    are among those that may wrongly come first. There is no monolingual setting: a sentence would look for itself.

    folder: where de.txt, or newstest2019-ref.deu.txt as published, is looked for before the cache and the network
    languages: a list such as [de, en, sw], of the 112 with an ISO 639-1 code; null: the 11 of XQuAD-R

    Files are recognised by their checksum, where the project has seen them (23 languages), else by their number of
    lines; others are used with a revision of their own.
    Raises DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that
    the benchmark does not have, or only one.
    """
    corpus = public_corpus("ntrex")
    published = {file.language: [file] for file in corpus.files if file.language != DOCUMENTS}
    codes = {language: file.name.split(".")[1] for language, (file,) in published.items()}
    chosen = chosen_languages("ntrex", languages, codes, XQUAD_R.published, at_least=2)
    paths, revision = _files(corpus, Path(folder), published, chosen)
    lines: dict[str, dict[str, str]] = {language: {} for language in chosen}
    for number, texts in read_aligned({language: path for language, (path,) in paths.items()}):
        for language, text in texts.items():
            lines[language][str(number)] = text
    return _in_all_directions(
        lines,
        name="ntrex",
        revision=revision,
        licence=corpus.licence,
        note="Sentences of 123 news articles with professional translations. Also a source of training data here: "
        "figures of a model that was trained with data=ntrex say nothing.",
        files={published[language][0].name: sha256(path) for language, (path,) in paths.items()},
    )


def parallel_sentences(
    source: ParallelReader, languages: Sequence[str] | None = None, *, licence: str = "see its source", note: str = ""
) -> RetrievalTask:
    """The sentences of a parallel source as a benchmark like `ntrex`: each asks for its translations.

    source: a reader of sentences with their translations; its name is that of the task. A sentence need not be there in
    every language
    languages: a list such as [de, en, sw]; null: all that the source has
    licence: of the text, for reports
    note: what a reader of the figures should know

    Raises ConfigError for a language that the source does not have, for only one, and for pairs of a sentence and what
    follows it (pairing=next); DataError where a file is missing or malformed.
    """
    if source.pairing != "same":
        raise ConfigError(f"task {source.name}: source.pairing={source.pairing}: translations need pairing=same.")
    lines: dict[str, dict[str, str]] = {}
    for row in source.rows():
        for language, text in row.queries.items():
            lines.setdefault(language, {})[row.id] = text
    chosen = chosen_languages(source.name, languages, sorted(lines), at_least=2)
    return _in_all_directions(
        {language: lines[language] for language in chosen},
        name=source.name,
        revision=source.fingerprint()[:12],
        licence=licence,
        note=note,
        files={},
    )


def _in_all_directions(
    lines: Mapping[str, Mapping[str, str]], *, name: str, revision: str, licence: str, note: str, files: dict[str, str]
) -> RetrievalTask:
    """Sentences of each language, by number, that ask for those of the same number in other languages."""
    languages_of: dict[str, list[str]] = {}
    for language, sentences in lines.items():
        for key in sentences:
            languages_of.setdefault(key, []).append(language)
    versions = {key: {f"{language}:{key}": 1 for language in has} for key, has in languages_of.items() if len(has) > 1}
    asking = {language: {key: text for key, text in of.items() if key in versions} for language, of in lines.items()}
    return RetrievalTask(
        name=name,
        revision=revision,
        licence=licence,
        note=note,
        queries=asking,
        passages=with_language(lines),
        qrels={language: {key: versions[key] for key in asked} for language, asked in asking.items()},
        settings=("crosslingual", "multilingual"),
        files=files,
        symmetric=True,
        excluded={language: {key: (f"{language}:{key}",) for key in asked} for language, asked in asking.items()},
    )


def tatoeba(folder: str | Path, languages: Sequence[str] | None = None) -> BitextTask:
    """Tatoeba v1: up to 1,000 sentences in each language and their English translations, searched both ways.

    The test set of LASER (arXiv 1812.10464). The English sentences differ from pair to pair.

    folder: where tatoeba.deu-eng.deu, tatoeba.deu-eng.eng, ... are looked for before the cache and the network
    languages: paired with English, such as [de, fr], of 84; null: the 36 of XTREME

    Files are recognised by their checksum, where the project has seen them (19 languages), else by their published
    number of lines; others are used with a revision of their own. Errors are those of `ntrex`.
    """
    corpus = public_corpus("tatoeba")
    parts = corpus.parts(corpus.languages, "task tatoeba").values()
    published = {next(iter(part)): list(part.values()) for part in parts}  # language -> its file, and the English one
    codes = {language: foreign.name.rpartition(".")[2] for language, (foreign, _) in published.items()}
    paths, revision = _files(corpus, Path(folder), published, chosen_languages("tatoeba", languages, codes, XTREME))
    return BitextTask(
        name="tatoeba",
        revision=revision,
        licence=corpus.licence,
        note="Short sentences, those of small languages much alike; the English side differs from pair to pair. "
        "recall_at_1 is the accuracy that others report.",
        bitexts={(language, "en"): _sides(*pair) for language, pair in paths.items()},
        files={path.name: sha256(path) for pair in paths.values() for path in pair},
    )


def _files(
    corpus: PublicCorpus, folder: Path, published: Mapping[str, Sequence[PublicFile]], languages: Collection[str]
) -> tuple[dict[str, list[Path]], str]:
    """The files of each language, and the revision that they make. published: those of every language."""

    def local_name(file: PublicFile) -> str:
        short = f"{file.language}.txt"
        return short if not file.part and (folder / short).is_file() else file.name

    names = {language: [local_name(file) for file in files] for language, files in published.items()}
    with naming_local_languages(corpus.name, folder, names):
        paths = {
            language: [
                file.local_or_fetched(folder, f"task {corpus.name}", local_name(file)) for file in published[language]
            ]
            for language in languages
        }
    pairs = [pair for language in languages for pair in zip(paths[language], published[language], strict=True)]
    others = [path for path, file in pairs if not file.is_published(path)]
    return paths, revision_of(corpus.name, corpus.commit, [path for path, _ in pairs], others)


def _sides(foreign: Path, english: Path) -> tuple[list[str], list[str]]:
    lines = [texts for _, texts in read_aligned({"foreign": foreign, "english": english})]
    return [texts["foreign"] for texts in lines], [texts["english"] for texts in lines]

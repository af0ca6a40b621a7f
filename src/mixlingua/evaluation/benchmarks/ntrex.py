"""NTREX-128: English news sentences and their professional translations, as bitext retrieval in all directions.

Source: Federmann, Kocmi, Xin 2022, github.com/MicrosoftTranslator/NTREX.
"""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.public_corpora import DOCUMENTS, PublicFile, public_corpus
from mixlingua.evaluation.benchmarks.common import (
    chosen_languages,
    naming_local_languages,
    revision_of,
    with_language,
)
from mixlingua.evaluation.benchmarks.lareqa import XQUAD_R
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import read_aligned, sha256


def ntrex(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """NTREX-128: each of 1,997 sentences asks for its translations, in every ordered pair of languages.

    Cross-lingual: the pool is all sentences of the other language, the one translation is relevant. Multilingual: the
    pool is all sentences of all languages but the query itself, which is no find; its translations are relevant, and
    other sentences in the query's own language are among those that may wrongly come first. There is no monolingual
    setting: a sentence would look for itself.

    folder: where de.txt, or newstest2019-ref.deu.txt as published, is looked for before the cache and the network
    languages: a list such as [de, en, sw], of the 112 with an ISO 639-1 code; null: the 11 of XQuAD-R

    Files are recognised by their checksum, where the project has seen them (23 languages), else by their number of
    lines; others are used with a revision of their own.
    Raises DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that
    the benchmark does not have, or only one.
    """
    folder, corpus = Path(folder), public_corpus("ntrex")
    published = {file.language: file for file in corpus.files if file.language != DOCUMENTS}
    codes = {language: file.name.split(".")[1] for language, file in published.items()}
    chosen = chosen_languages("ntrex", languages, codes, XQUAD_R.counts, at_least=2)
    with naming_local_languages("ntrex", folder, {code: [_name(folder, file)] for code, file in published.items()}):
        paths = {
            language: published[language].local_or_fetched(folder, "task ntrex", _name(folder, published[language]))
            for language in chosen
        }
    others = [path for language, path in paths.items() if not published[language].is_published(path)]
    lines: dict[str, dict[str, str]] = {language: {} for language in chosen}
    for number, texts in read_aligned(paths):
        for language, text in texts.items():
            lines[language][str(number)] = text
    ids = list(lines[chosen[0]])
    versions = {key: {f"{language}:{key}": 1 for language in chosen} for key in ids}
    return RetrievalTask(
        name="ntrex",
        revision=revision_of("ntrex", corpus.commit, paths.values(), others),
        licence=corpus.licence,
        note="Sentences of 123 news articles with professional translations. Also a source of training data here: "
        "figures of a model that was trained with data=ntrex say nothing.",
        queries=lines,
        passages=with_language(lines),
        qrels=dict.fromkeys(chosen, versions),
        settings=("crosslingual", "multilingual"),
        files={published[language].name: sha256(path) for language, path in paths.items()},
        symmetric=True,
        excluded={language: {key: (f"{language}:{key}",) for key in ids} for language in chosen},
    )


def _name(folder: Path, file: PublicFile) -> str:
    """What the file is called in the user's folder: de.txt, where there is one, else as it is published."""
    return f"{file.language}.txt" if (folder / f"{file.language}.txt").is_file() else file.name

"""NTREX-128: English news sentences and their professional translations, as bitext retrieval in all directions.

Source: Federmann, Kocmi, Xin 2022, github.com/MicrosoftTranslator/NTREX.
"""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.public_corpora import is_published, public_files
from mixlingua.data.readers.ntrex import COMMIT, NUM_LINES, local_name, public_name, sentences_file
from mixlingua.evaluation.benchmarks.common import chosen_languages, naming_local_languages, revision_of
from mixlingua.evaluation.benchmarks.lareqa import XQUAD_R
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import read_aligned, read_lines, sha256


def ntrex(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """NTREX-128: each of 1,997 sentences asks for its translations, in every ordered pair of languages.

    Cross-lingual: the pool is all sentences of the other language, the one translation is relevant. Multilingual: the
    pool is all sentences of all languages but the query itself, which is no find; its translations are relevant, and
    other sentences in the query's own language are among those that may wrongly come first. There is no monolingual
    setting: a sentence would look for itself.

    folder: where de.txt (as for training) or newstest2019-ref.deu.txt (as published) are looked for before the cache
    and the network. languages: of the 112 with an ISO 639-1 code; by default those of XQuAD-R. Files are recognised by
    their checksum, where the project has seen them (23 languages), else by their number of lines; others are used with
    a revision of their own. Raises DataError for a file that is missing and cannot be fetched, or is malformed;
    ConfigError for a language that the benchmark does not have, or only one.
    """
    folder, known = Path(folder), public_files()["ntrex"]
    chosen = chosen_languages("ntrex", languages, known, XQUAD_R.counts, at_least=2)
    with naming_local_languages("ntrex", folder, {language: [local_name(folder, language)] for language in known}):
        paths = {language: sentences_file(folder, language, "task ntrex") for language in chosen}
    others = [path for language, path in paths.items() if not is_published(public_name(language), path, NUM_LINES)]
    first = paths[chosen[0]]
    number = sum(1 for _ in read_lines(first))
    lines = {language: read_aligned(path, number, first) for language, path in paths.items()}
    ids = [str(line) for line in range(1, number + 1)]
    versions = {key: {f"{language}:{key}": 1 for language in chosen} for key in ids}
    return RetrievalTask(
        name="ntrex",
        revision=revision_of("ntrex", COMMIT, paths.values(), others),
        licence="CC BY-SA 4.0",
        note="Sentences of 123 news articles with professional translations. Also a source of training data here: "
        "figures of a model that was trained with data=ntrex say nothing.",
        queries={language: dict(zip(ids, texts, strict=True)) for language, texts in lines.items()},
        passages={
            language: {f"{language}:{key}": text for key, text in zip(ids, texts, strict=True)}
            for language, texts in lines.items()
        },
        qrels=dict.fromkeys(chosen, versions),
        settings=("crosslingual", "multilingual"),
        files={public_name(language): sha256(path) for language, path in paths.items()},
        symmetric=True,
        excluded={language: {key: (f"{language}:{key}",) for key in ids} for language in chosen},
    )

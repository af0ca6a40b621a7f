"""Your own benchmark: a folder with a corpus and queries per language, and judgements per pair of languages."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.evaluation.choice import choose_languages
from mixlingua.evaluation.corpus_census import LOCAL
from mixlingua.evaluation.corpus_task import CorpusTask
from mixlingua.evaluation.judged_files import read_json_queries, read_tsv_qrels
from mixlingua.evaluation.pool import pooled
from mixlingua.files import sha256
from mixlingua.retrieval.corpus import JsonLinesCorpus


def folder_task(
    folder: str | Path,
    name: str,
    languages: Sequence[str] | None,
    main_metric: str,
    pool: str | None,
    shard_size: int,
    keep_vectors: bool,
) -> CorpusTask:
    """The benchmark in folder/corpus/de.jsonl, folder/queries/en.jsonl, folder/qrels/en-de.tsv (docs/corpora.md).

    name: of the task, in metric keys. languages: all that are there by default; a pair counts where both of its
    languages do. pool: as in `pooled`. Files may be plain or .gz. Raises DataError for a file that is missing or
    malformed, ConfigError for a language that is not there.
    """
    root = Path(folder)
    if not name.isidentifier():
        raise DataError(
            f"task folder: name '{name}' must be of letters, digits and '_', since it stands in metric keys."
        )
    corpora, queries, judged = (_files(root / part, kind) for part, kind in _PARTS)
    pairs = {tuple(stem.split("-")): file for stem, file in judged.items()}
    if malformed := [judged["-".join(pair)] for pair in pairs if len(pair) != 2]:
        raise DataError(
            f"{malformed[0]}: qrels are named by query and passage language, such as en-de.tsv or de-de.tsv."
        )
    chosen = choose_languages(name, languages, sorted({*corpora, *queries}))
    pairs = {pair: file for pair, file in pairs.items() if set(pair) <= set(chosen)}
    if not pairs:
        raise DataError(f"{root / 'qrels'}: no qrels between {', '.join(chosen)}; there are {', '.join(judged)}.")
    for query_language, passage_language in pairs:
        for part, language, files in (("queries", query_language, queries), ("corpus", passage_language, corpora)):
            if language not in files:
                raise DataError(
                    f"{root / part}: no {language}.jsonl, which qrels/{query_language}-{passage_language}.tsv needs."
                )
    texts = {language: read_json_queries(queries[language]) for language in sorted({pair[0] for pair in pairs})}
    qrels = {(a, b): read_tsv_qrels(file, texts[a]) for (a, b), file in pairs.items()}
    searched = {language: JsonLinesCorpus((corpora[language],)) for language in sorted({pair[1] for pair in pairs})}
    used = [*(queries[language] for language in texts), *pairs.values()]
    return CorpusTask(
        name=name,
        release=LOCAL,
        licence="your own",
        note=f"The files in {root.name}, as they were found.",
        queries=texts,
        corpora=pooled(searched, qrels, pool),
        qrels=qrels,
        main_metric=main_metric,
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        files={str(file.relative_to(root)): sha256(file) for file in used},
    )


_PARTS = (("corpus", "jsonl"), ("queries", "jsonl"), ("qrels", "tsv"))


def _files(folder: Path, kind: str) -> dict[str, Path]:
    """The files of a folder by name without ending; a plain one goes before a packed one."""
    files: dict[str, Path] = {}
    for ending in (f".{kind}.gz", f".{kind}"):
        files |= {file.name.removesuffix(ending): file for file in sorted(folder.glob(f"*{ending}"))}
    if not files:
        raise DataError(f"{folder}: no .{kind} or .{kind}.gz files. docs/corpora.md shows a whole folder.")
    return files

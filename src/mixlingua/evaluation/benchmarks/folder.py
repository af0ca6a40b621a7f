"""Benchmarks from your files: queries, corpora and qrels, or a data set in the format of BEIR (Thakur et al. 2021)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.evaluation.benchmarks.common import chosen_languages
from mixlingua.evaluation.benchmarks.trec_files import plain_or_gz, read_ids, read_json_queries, read_tsv_qrels
from mixlingua.evaluation.corpus_tasks import LOCAL, SHARD_SIZE, CorpusTask, Judgements
from mixlingua.files import sha256
from mixlingua.languages import check_language, code_here
from mixlingua.retrieval.corpus import Corpus, JsonLinesCorpus, SubCorpus

logger = logging.getLogger(__name__)
URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"
JUDGED = "judged"
_LEFT_OUT = " The passage with the query's own id is left out."


def folder_task(
    folder: str | Path,
    name: str = "folder",
    languages: Sequence[str] | None = None,
    main_metric: str = "ndcg_at_10",
    pool: str | None = None,
    shard_size: int = SHARD_SIZE,
    keep_vectors: bool = False,
    ignore_identical_ids: bool = False,
) -> CorpusTask:
    """The benchmark in folder/corpus/de.jsonl, folder/queries/en.jsonl, folder/qrels/en-de.tsv (docs/corpora.md).

    folder: of corpus/, queries/ and qrels/
    name: of the task, in metric keys
    languages: a list such as [de, en], of which a pair needs both; null: all that are there
    main_metric: by which encoders are compared
    pool: null: the whole corpus; judged: judged passages only; or a folder of de.txt, ... with further passage ids
    shard_size: passages encoded and stored together; bounds memory, and what a stopped run repeats
    keep_vectors: leave the vectors in the cache
    ignore_identical_ids: leave out the passage that has the query's own id, where queries are passages too

    Files may be plain or .gz. Ids are yours here, and those of a query and a passage may coincide by accident: so
    nothing is left out unless it is asked for, and a warning says so where a passage is the query with its id. Raises
    DataError for a file that is missing or malformed, ConfigError for a language that is not there.
    """
    root = Path(folder)
    if not name.isidentifier():
        raise ConfigError(
            f"evaluation.tasks.folder.name={name}: must be of letters, digits and '_', since it stands in metric keys."
        )
    corpora, queries, qrels_files = (_files(root / subfolder, kind) for subfolder, kind in _FOLDERS)
    pairs = {_language_pair(stem, file): file for stem, file in qrels_files.items()}
    chosen = chosen_languages(name, languages, sorted({*corpora, *queries}))
    pairs = {pair: file for pair, file in pairs.items() if set(pair) <= set(chosen)}
    if not pairs:
        raise DataError(f"{root / 'qrels'}: no qrels between {', '.join(chosen)}; there are {', '.join(qrels_files)}.")
    for query_language, passage_language in pairs:
        for kind, language, files in (("queries", query_language, queries), ("corpus", passage_language, corpora)):
            if language not in files:
                raise DataError(
                    f"{root / kind}: no {language}.jsonl, which qrels/{query_language}-{passage_language}.tsv needs."
                )
    texts = {language: read_json_queries(queries[language]) for language in sorted({pair[0] for pair in pairs})}
    qrels = {(a, b): read_tsv_qrels(file, texts[a]) for (a, b), file in pairs.items()}
    for (a, b), judgements in qrels.items():
        if not any(grade > 0 for grades in judgements.values() for grade in grades.values()):
            logger.warning("%s: no judgement is above 0, so %s->%s is not measured.", pairs[a, b], a, b)
    searched = {language: JsonLinesCorpus((corpora[language],)) for language in sorted({pair[1] for pair in pairs})}
    used = [*(queries[language] for language in texts), *pairs.values()]
    return CorpusTask(
        name=name,
        release=LOCAL,
        licence="your own",
        note=f"The files in {root.name}, as they were found.{_LEFT_OUT if ignore_identical_ids else ''}",
        queries=texts,
        corpora=pooled(searched, qrels, pool),
        qrels=qrels,
        main_metric=main_metric,
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        ignore_identical_ids=ignore_identical_ids,
        files={str(file.relative_to(root)): sha256(file) for file in used},
    )


def _language_pair(stem: str, file: Path) -> tuple[str, str]:
    """Query and passage language, such as en and zh-Hant of "en-zh-Hant"."""
    parts = stem.split("-")
    splits = [("-".join(parts[:at]), "-".join(parts[at:])) for at in range(1, len(parts))]
    pairs = splits if len(splits) == 1 else [pair for pair in splits if all(map(_is_language, pair))]
    if len(pairs) != 1:
        # A region is in capitals: BR is none of the languages in en-pt-BR.
        coded = [(code_here(a), code_here(b)) for a, b in splits if b.partition("-")[0].islower()]
        known = {"-".join(map(str, pair)) for pair in coded if all(pair)}
        near = f" With the codes here, this is {known.pop()}.tsv." if len(known) == 1 else ""
        raise DataError(
            f"{file}: qrels are named by query and passage language, such as en-de.tsv, de-de.tsv or en-zh-Hant.tsv."
            f"{near}"
        )
    return pairs[0]


def _is_language(code: str) -> bool:
    try:
        return bool(check_language(code, ""))
    except ConfigError:
        return False


_FOLDERS = (("corpus", "jsonl"), ("queries", "jsonl"), ("qrels", "tsv"))


def _files(folder: Path, kind: str) -> dict[str, Path]:
    """The files of a folder by name without ending; a plain one goes before a packed one."""
    files: dict[str, Path] = {}
    for ending in (f".{kind}.gz", f".{kind}"):
        files |= {file.name.removesuffix(ending): file for file in sorted(folder.glob(f"*{ending}"))}
    if not files:
        raise DataError(f"{folder}: no .{kind} or .{kind}.gz files. docs/corpora.md shows a whole folder.")
    return files


def beir(
    folder: str | Path,
    name: str = "scifact",
    language: str = "en",
    split: str = "test",
    pool: str | None = None,
    shard_size: int = SHARD_SIZE,
    keep_vectors: bool = False,
    ignore_identical_ids: bool = True,
) -> CorpusTask:
    """The data set in folder/name, as task beir_<name> (with "_" for "-" and "/").

    folder: of scifact, nfcorpus, ...
    name: of the data set; the task is beir_scifact
    language: of queries and passages
    split: the name of its qrels, as of qrels/test.tsv
    pool: null: the whole corpus; judged: judged passages only; or a folder of en.txt with further passage ids
    shard_size: passages encoded and stored together; bounds memory, and what a stopped run repeats
    keep_vectors: leave the vectors in the cache
    ignore_identical_ids: leave out the passage that has the query's own id, as published figures of BEIR do

    In ArguAna, Quora and CQADupStack a query is a document too, under the same id, and would find itself. BEIR's own
    evaluation leaves that document out of every data set's rankings, and so does this one. Files may be plain or .gz.
    Raises DataError for a file that is missing or malformed, and where such a document is judged relevant.
    """
    root = Path(folder) / name
    corpus, queries_file, qrels_file = (
        _existing(Path(folder), name, file) for file in ("corpus.jsonl", "queries.jsonl", f"qrels/{split}.tsv")
    )
    queries = read_json_queries(queries_file)
    qrels = {(language, language): read_tsv_qrels(qrels_file, queries)}
    left_out = _LEFT_OUT if ignore_identical_ids else ""
    return CorpusTask(
        name=f"beir_{name.replace('-', '_').replace('/', '_')}",
        release=LOCAL,
        licence="that of the data set",
        note=f"Files in the format of BEIR, {split} split, as they were found.{left_out}",
        queries={language: queries},
        corpora=pooled({language: JsonLinesCorpus((corpus,))}, qrels, pool),
        qrels=qrels,
        main_metric="ndcg_at_10",
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        ignore_identical_ids=ignore_identical_ids,
        files={str(file.relative_to(root)): sha256(file) for file in (queries_file, qrels_file)},
    )


def _existing(folder: Path, name: str, file: str) -> Path:
    path = plain_or_gz(folder / name / file)
    if path.is_file():
        return path
    if (folder / name).is_dir():
        raise DataError(f"task beir_{name}: no {path}, plain or .gz; a BEIR data set has corpus, queries and qrels.")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    raise DataError(
        f"task beir_{name}: no folder {folder / name}.{suggest(name, names)} Get {URL}/{name}.zip, and unpack it there."
    )


def pooled(
    corpora: Mapping[str, Corpus], qrels: Mapping[tuple[str, str], Judgements], pool: str | Path | None
) -> dict[str, Corpus]:
    """The corpora, each restricted to its pool.

    pool: None for whole corpora; "judged" for the passages that any query has a judgement of, relevant or not; else a
    folder of de.txt, en.txt, ... with further passage ids, one a line. Raises DataError where a language's file is
    missing or malformed.
    """
    if pool is None:
        return dict(corpora)
    ids: dict[str, set[str]] = {language: set() for language in corpora}
    for (_, language), judgements in qrels.items():
        for grades in judgements.values():
            ids[language].update(grades)
    if str(pool) != JUDGED:
        for language in corpora:
            path = plain_or_gz(Path(pool) / f"{language}.txt")
            if not path.is_file():
                raise DataError(
                    f"{path}: no such file. pool is null, '{JUDGED}' or a folder with the passage ids of each language."
                )
            ids[language] |= read_ids(path)
    return {language: SubCorpus(corpus, frozenset(ids[language])) for language, corpus in corpora.items()}

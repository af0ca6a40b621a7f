"""Any data set in the format of BEIR: corpus.jsonl, queries.jsonl and qrels/test.tsv (Thakur et al. 2021)."""

from pathlib import Path

from mixlingua.errors import DataError, suggest
from mixlingua.evaluation.corpus_census import LOCAL
from mixlingua.evaluation.corpus_task import CorpusTask
from mixlingua.evaluation.judged_files import plain_or_gz, read_json_queries, read_tsv_qrels
from mixlingua.evaluation.pool import pooled
from mixlingua.files import sha256
from mixlingua.retrieval.corpus import JsonLinesCorpus

URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"


def beir(
    folder: str | Path,
    name: str,
    language: str,
    split: str,
    pool: str | None,
    shard_size: int,
    keep_vectors: bool,
) -> CorpusTask:
    """The data set in folder/name, as task beir_<name> (with "_" for "-" and "/").

    language: of queries and passages. split: the name of its qrels. pool: as in `pooled`. Files may be plain or .gz.
    Raises DataError for a file that is missing or malformed.
    """
    root = Path(folder) / name
    corpus, queries_file, qrels_file = (
        _there(Path(folder), name, part) for part in ("corpus.jsonl", "queries.jsonl", f"qrels/{split}.tsv")
    )
    queries = read_json_queries(queries_file)
    qrels = {(language, language): read_tsv_qrels(qrels_file, queries)}
    return CorpusTask(
        name=f"beir_{name.replace('-', '_').replace('/', '_')}",
        release=LOCAL,
        licence="that of the data set",
        note=f"Files in the format of BEIR, {split} split, as they were found.",
        queries={language: queries},
        corpora=pooled({language: JsonLinesCorpus((corpus,))}, qrels, pool),
        qrels=qrels,
        main_metric="ndcg_at_10",
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        files={str(file.relative_to(root)): sha256(file) for file in (queries_file, qrels_file)},
    )


def _there(folder: Path, name: str, part: str) -> Path:
    path = plain_or_gz(folder / name / part)
    if path.is_file():
        return path
    if (folder / name).is_dir():
        raise DataError(f"task beir_{name}: no {path}, plain or .gz; a BEIR data set has corpus, queries and qrels.")
    there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    raise DataError(
        f"task beir_{name}: no folder {folder / name}.{suggest(name, there)} Get {URL}/{name}.zip, and unpack it there."
    )

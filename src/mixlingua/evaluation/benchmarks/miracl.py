"""MIRACL and Mr. TyDi: questions over all of Wikipedia, each asked of the corpus in its own language.

Sources: Zhang et al. 2023 (TACL 11, arXiv 2210.09984); Zhang et al. 2021 (MRL workshop, arXiv 2108.08787).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import (
    chosen_languages,
    published_file,
    table,
    warn_of_others,
    with_language,
)
from mixlingua.evaluation.benchmarks.folder import pooled
from mixlingua.evaluation.benchmarks.trec_files import num_judgements, plain_or_gz, read_trec_qrels, read_tsv_queries
from mixlingua.evaluation.corpus_tasks import LOCAL, SHARD_SIZE, CorpusTask
from mixlingua.files import sha256
from mixlingua.retrieval.corpus import Corpus, JsonLinesCorpus

MIRACL_URL = "https://raw.githubusercontent.com/castorini/anserini-tools/master/topics-and-qrels"
MR_TYDI_URL = "https://git.uwaterloo.ca/jimmylin/mr.tydi/-/raw/master/data"


@dataclass(frozen=True)
class Release:
    """A published benchmark. What is published of its files stands in published.toml."""

    name: str
    version: str
    main_metric: str
    note: str

    @property
    def published(self) -> Mapping[str, Mapping[str, Any]]:
        """By language, its numbers of queries, judgements and passages."""
        by_language: Mapping[str, Mapping[str, Any]] = table("published")[self.name]
        return by_language

    def differs(self, language: str, kind: str, path: Path, name: str) -> str | None:
        """What tells a file of queries or judgements (kind) from the published one: its checksum, where one is known,
        else its numbers."""
        checksums = table("published").get(f"{self.name}_sha256", {})
        if name in checksums:
            return None if sha256(path) == checksums[name] else "it has another checksum"
        number = len(read_tsv_queries(path)) if kind == "queries" else num_judgements(read_trec_qrels(path, None))
        published = self.published[language][kind]
        return None if number == published else f"it has {number:,} {kind}, not {published:,}"


MIRACL = Release(
    name="miracl",
    version="v1.0-dev",
    main_metric="ndcg_at_10",
    note="About ten passages a question were judged, out of what several systems found first.",
)
MR_TYDI = Release(
    name="mr_tydi",
    version="v1.1-test",
    main_metric="mrr_at_100",
    note="Few passages a question were judged: those of the article that its annotator had before them.",
)


def miracl(
    folder: str | Path,
    languages: Sequence[str] | None = None,
    pool: str | None = None,
    shard_size: int = SHARD_SIZE,
    keep_vectors: bool = False,
) -> CorpusTask:
    """MIRACL v1.0, development set.

    folder: of topics, qrels and miracl-corpus-v1.0-ar/docs-0.jsonl.gz, ... (docs/corpora.md)
    languages: a list such as [sw, yo]; null: all
    pool: null: the whole corpus; judged: judged passages only; or a folder of ar.txt, ... with further passage ids
    shard_size: passages encoded and stored together; bounds memory, and what a stopped run repeats
    keep_vectors: leave the vectors in the cache

    Queries and judgements that are missing are fetched. They are recognised by checksum in eight languages, else by
    their published numbers; corpora by their numbers of passages.
    Raises DataError for a file that is missing or malformed, ConfigError for a language that the benchmark does not
    have.
    """
    root = Path(folder)
    files, corpora = {}, {}
    for language in chosen_languages("miracl", languages, MIRACL.published):
        files[language] = {kind: _miracl_file(root, language, kind) for kind in _KINDS}
        corpora[language] = _miracl_corpus(root, language)
    return _task(MIRACL, files, corpora, pool, shard_size=shard_size, keep_vectors=keep_vectors)


def mr_tydi(
    folder: str | Path,
    languages: Sequence[str] | None = None,
    pool: str | None = None,
    shard_size: int = SHARD_SIZE,
    keep_vectors: bool = False,
) -> CorpusTask:
    """Mr. TyDi v1.1, test set.

    folder: of mrtydi-v1.1-arabic, ..., as the archives unpack
    languages: a list such as [sw, te]; null: all
    pool: null: the whole corpus; judged: judged passages only; or a folder of ar.txt, ... with further passage ids
    shard_size: passages encoded and stored together; bounds memory, and what a stopped run repeats
    keep_vectors: leave the vectors in the cache

    Files are recognised by their published numbers of questions, judgements and passages, since no checksums are
    published. Errors are those of `miracl`.
    """
    root = Path(folder)
    files, corpora = {}, {}
    for language in chosen_languages("mr_tydi", languages, MR_TYDI.published):
        archive = root / f"mrtydi-v1.1-{MR_TYDI.published[language]['name']}"
        files[language] = {kind: _unpacked(archive, name) for kind, name in _KINDS_OF_MR_TYDI.items()}
        of_the_hub = plain_or_gz(archive / "corpus.jsonl")  # castorini/mr-tydi-corpus
        collection = of_the_hub if of_the_hub.is_file() else _unpacked(archive, "collection/docs.jsonl")
        corpora[language] = JsonLinesCorpus((collection,))
    return _task(MR_TYDI, files, corpora, pool, shard_size=shard_size, keep_vectors=keep_vectors)


_KINDS = {"queries": "topics", "judgements": "qrels"}
_KINDS_OF_MR_TYDI = {"queries": "topic.test.tsv", "judgements": "qrels.test.txt"}


def _task(
    release: Release,
    files: Mapping[str, Mapping[str, Path]],
    corpora: Mapping[str, Corpus],
    pool: str | None,
    **storage: Any,
) -> CorpusTask:
    """files: language -> kind -> file. The revision begins with "local", with a warning, where they are not the
    published ones. Each language numbers questions of its own, so "7" in Swahili becomes "sw:7"."""
    queries = {language: read_tsv_queries(of_language["queries"]) for language, of_language in files.items()}
    qrels = {
        (language, language): {
            f"{language}:{query}": grades
            for query, grades in read_trec_qrels(of_language["judgements"], queries[language]).items()
        }
        for language, of_language in files.items()
    }
    listed = [(language, kind, path) for language, of_language in files.items() for kind, path in of_language.items()]
    others = [language for language, kind, path in listed if release.differs(language, kind, path, path.name)]
    if others:
        named = ", ".join(dict.fromkeys(others))
        warn_of_others(release.name, f"queries or judgements in {named} are not the published ones")
    version = release.version if pool is None else f"{release.version}-pool"
    published = {language: release.published[language]["passages"] for language in files}
    return CorpusTask(
        name=release.name,
        release=LOCAL if others else version,
        licence="Apache-2.0; passages from Wikipedia, CC BY-SA",
        note=release.note,
        queries=with_language(queries),
        corpora=pooled(corpora, qrels, pool),
        qrels=qrels,
        main_metric=release.main_metric,
        published=published if pool is None else {},
        files={f"{language}/{path.name}": sha256(path) for language, _, path in listed},
        **storage,
    )


def _miracl_file(folder: Path, language: str, kind: str) -> Path:
    """The file of queries or judgements, as laid out by the hub or not, else fetched."""
    name = f"{_KINDS[kind]}.miracl-v1.0-{language}-dev.tsv"
    of_the_hub = folder / f"miracl-v1.0-{language}" / _KINDS[kind]
    home = of_the_hub if (of_the_hub / name).is_file() else folder
    return published_file(
        "miracl", home, name, f"{MIRACL_URL}/{name}", lambda path: MIRACL.differs(language, kind, path, name)
    )


def _miracl_corpus(folder: Path, language: str) -> JsonLinesCorpus:
    """docs-0.jsonl.gz, docs-1.jsonl.gz, ... in the order of their numbers."""
    released = f"miracl-corpus-v1.0-{language}"
    candidates = [folder / released, folder / "miracl-corpus" / released, folder / "miracl-corpus" / language]
    for candidate in candidates:
        names = [file.name for file in candidate.iterdir()] if candidate.is_dir() else []
        files = {int(match[1]): candidate / match[0] for match in map(_DOCS.fullmatch, sorted(names)) if match}
        if files:
            return JsonLinesCorpus(tuple(files[number] for number in sorted(files)))
    raise DataError(
        f"task miracl: no docs-0.jsonl.gz, ... of the {language} corpus in {', '.join(map(str, candidates))}. Get it "
        f"with: hf download miracl/miracl-corpus --repo-type dataset --include '{released}/*' --local-dir {folder}"
    )


_DOCS = re.compile(r"docs-(\d+)\.jsonl(?:\.gz)?")


def _unpacked(archive: Path, name: str) -> Path:
    path = plain_or_gz(archive / name)
    if not path.is_file():
        raise DataError(
            f"task mr_tydi: no {path}. Get {MR_TYDI_URL}/{archive.name}.tar.gz, and unpack it in {archive.parent}: "
            f"tar -xzf {archive.name}.tar.gz"
        )
    return path

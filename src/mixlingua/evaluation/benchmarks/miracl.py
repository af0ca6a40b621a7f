"""MIRACL and Mr. TyDi: questions over all of Wikipedia, each asked of the corpus in its own language.

Sources: Zhang et al. 2023 (TACL 11, arXiv 2210.09984); Zhang et al. 2021 (MRL workshop, arXiv 2108.08787).
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import chosen_languages
from mixlingua.evaluation.benchmarks.folder import pooled
from mixlingua.evaluation.benchmarks.trec_files import num_judgements, plain_or_gz, read_trec_qrels, read_tsv_queries
from mixlingua.evaluation.corpus_tasks import LOCAL, SHARD_SIZE, CorpusTask, Judgements, Queries
from mixlingua.files import cache_dir, local_or_fetched, sha256
from mixlingua.retrieval.corpus import Corpus, JsonLinesCorpus

logger = logging.getLogger(__name__)


class Counts(NamedTuple):
    """What a release has in one language, as published."""

    queries: int
    judgements: int
    passages: int


@dataclass(frozen=True)
class Release:
    """A published benchmark. counts: by language; checksums: SHA-256 by file name, where known."""

    name: str
    version: str
    main_metric: str
    note: str
    counts: dict[str, Counts]
    checksums: dict[str, str] = field(default_factory=dict)

    def has(self, language: str, files: tuple[Path, Path], queries: Queries, qrels: Judgements) -> bool:
        """Whether queries and judgements are the published ones: by the checksums of their two files, by their numbers
        where one has none."""
        if all(file.name in self.checksums for file in files):
            return all(sha256(file) == self.checksums[file.name] for file in files)
        counts = self.counts[language]
        return (len(queries), num_judgements(qrels)) == (counts.queries, counts.judgements)


MIRACL_URL = "https://raw.githubusercontent.com/castorini/anserini-tools/master/topics-and-qrels"
MIRACL = Release(
    name="miracl",
    version="v1.0-dev",
    main_metric="ndcg_at_10",
    note="About ten passages a question were judged, out of what several systems found first.",
    counts={
        "ar": Counts(2_896, 29_197, 2_061_414),
        "bn": Counts(411, 4_206, 297_265),
        "de": Counts(305, 3_144, 15_866_222),
        "en": Counts(799, 8_350, 32_893_221),
        "es": Counts(648, 6_443, 10_373_953),
        "fa": Counts(632, 6_571, 2_207_172),
        "fi": Counts(1_271, 12_008, 1_883_509),
        "fr": Counts(343, 3_429, 14_636_953),
        "hi": Counts(350, 3_494, 506_264),
        "id": Counts(960, 9_668, 1_446_315),
        "ja": Counts(860, 8_354, 6_953_614),
        "ko": Counts(213, 3_057, 1_486_752),
        "ru": Counts(1_252, 13_100, 9_543_918),
        "sw": Counts(482, 5_092, 131_924),
        "te": Counts(828, 1_606, 518_079),
        "th": Counts(733, 7_573, 542_166),
        "yo": Counts(119, 1_188, 49_043),
        "zh": Counts(393, 3_928, 4_934_368),
    },
    checksums={
        "qrels.miracl-v1.0-ar-dev.tsv": "3670a7804dedd5a602dad0661f6adb1e65b197829d5571f428e0af7fc46aa313",
        "qrels.miracl-v1.0-bn-dev.tsv": "0aab3bcb0bbc5d3e5ed1566a9e3965800239438b5b5f68d5b6bb4acb7f0fec0e",
        "qrels.miracl-v1.0-en-dev.tsv": "a0af836c300e85088c4d73449492e2378280f967cac032853c9e11f3bc8a8d81",
        "qrels.miracl-v1.0-hi-dev.tsv": "4cec99e7012ffca7fd129eeea01f37984bb21702706a8398208e8fba1c14e963",
        "qrels.miracl-v1.0-sw-dev.tsv": "a1e6438ac732dabd9a24fd5c8dfc0c64168aea81ff477d8b1986fde5ad193a63",
        "qrels.miracl-v1.0-te-dev.tsv": "576a7ded402697a7bb521b4b8bb1a27806b927556001450405d3a5b85590a0c9",
        "qrels.miracl-v1.0-th-dev.tsv": "81097e891775f67a9b98d41309f9c452dc4e09572b0cbf4952d4107ed0fe1407",
        "qrels.miracl-v1.0-yo-dev.tsv": "39a219ef0b593f6056e4ad1d65b9c03345730efa5107f0abd4a4a44ef2f6f0d2",
        "topics.miracl-v1.0-ar-dev.tsv": "10b534b889ec46e23df478eee09410ef2880d90d419644dfed5d05d39b57ece0",
        "topics.miracl-v1.0-bn-dev.tsv": "46fbf50f1f3972b6908543bad6b6dfc60a75eec80d54aae603efd884ba608d2f",
        "topics.miracl-v1.0-en-dev.tsv": "25d9e6d17656674fd7aa3b67ee912c71545e664a842b147bfc17e9ff391db3da",
        "topics.miracl-v1.0-hi-dev.tsv": "94bed8e649806246f59edfb6434ea0c59920a44f2f60a56e01d205c6bf58ef60",
        "topics.miracl-v1.0-sw-dev.tsv": "15cde3f614cb75b3106fb4606a16162140ee157da22c4a57aae756571788b722",
        "topics.miracl-v1.0-te-dev.tsv": "3ac8a9a20bdf93ffcc36d554a5fff76ec4435131ae995010814df5881fff07d6",
        "topics.miracl-v1.0-th-dev.tsv": "6ef23316d1224d9fef9e3f8bc2fdf527dad1a3bba98657617398c226503f5a46",
        "topics.miracl-v1.0-yo-dev.tsv": "b24558e43e1965d5cfe7440a5bf3bf66d70529474ff76e64bfa72026129b2d2e",
    },
)
MR_TYDI_URL = "https://git.uwaterloo.ca/jimmylin/mr.tydi/-/raw/master/data"
MR_TYDI = Release(
    name="mr_tydi",
    version="v1.1-test",
    main_metric="mrr_at_100",
    note="Few passages a question were judged: those of the article that its annotator had before them.",
    counts={  # the paper says 664 judgements in te, version 1.1 has 677
        "ar": Counts(1_081, 1_257, 2_106_586),
        "bn": Counts(111, 130, 304_059),
        "en": Counts(744, 935, 32_907_100),
        "fi": Counts(1_254, 1_451, 1_908_757),
        "id": Counts(829, 961, 1_469_399),
        "ja": Counts(720, 923, 7_000_027),
        "ko": Counts(421, 492, 1_496_126),
        "ru": Counts(995, 1_168, 9_597_504),
        "sw": Counts(670, 743, 136_689),
        "te": Counts(646, 677, 548_224),
        "th": Counts(1_190, 1_368, 568_855),
    },
)
MR_TYDI_NAMES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ja": "japanese",
    "ko": "korean", "ru": "russian", "sw": "swahili", "te": "telugu", "th": "thai",
}  # fmt: skip


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
    folder = Path(folder)
    chosen = chosen_languages("miracl", languages, MIRACL.counts)
    files = {
        language: (_miracl_file(folder, language, "topics"), _miracl_file(folder, language, "qrels"))
        for language in chosen
    }
    corpora = {language: _miracl_corpus(folder, language) for language in chosen}
    return _task(MIRACL, files, corpora, pool, shard_size, keep_vectors)


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
    folder = Path(folder)
    chosen = chosen_languages("mr_tydi", languages, MR_TYDI.counts)
    files = {
        language: (_mr_tydi_file(folder, language, "topic.test.tsv"), _mr_tydi_file(folder, language, "qrels.test.txt"))
        for language in chosen
    }
    corpora = {language: _mr_tydi_corpus(folder, language) for language in chosen}
    return _task(MR_TYDI, files, corpora, pool, shard_size, keep_vectors)


def _task(
    release: Release,
    files: Mapping[str, tuple[Path, Path]],
    corpora: Mapping[str, Corpus],
    pool: str | None,
    shard_size: int,
    keep_vectors: bool,
) -> CorpusTask:
    """files: language -> queries and TREC qrels. The revision begins with "local", with a warning, where they are not
    the published ones."""
    queries = {language: read_tsv_queries(topics) for language, (topics, _) in files.items()}
    qrels = {
        (language, language): read_trec_qrels(judged, queries[language]) for language, (_, judged) in files.items()
    }
    others = [
        language
        for language, pair in files.items()
        if not release.has(language, pair, queries[language], qrels[language, language])
    ]
    if others:
        logger.warning(
            "task %s: queries or judgements in %s are not the published ones; scores compare with no published figure",
            release.name, ", ".join(others),
        )  # fmt: skip
    version = release.version if pool is None else f"{release.version}-pool"
    return CorpusTask(
        name=release.name,
        release=LOCAL if others else version,
        licence="Apache-2.0; passages from Wikipedia, CC BY-SA",
        note=release.note,
        queries=queries,
        corpora=pooled(corpora, qrels, pool),
        qrels=qrels,
        main_metric=release.main_metric,
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        published={language: release.counts[language].passages for language in files} if pool is None else {},
        files={f"{language}/{file.name}": sha256(file) for language, pair in files.items() for file in pair},
    )


def _miracl_file(folder: Path, language: str, kind: str) -> Path:
    """The file of topics or qrels, as laid out by the hub or not, else fetched."""
    name = f"{kind}.miracl-v1.0-{language}-dev.tsv"
    of_the_hub = folder / f"miracl-v1.0-{language}" / kind
    return local_or_fetched(
        name,
        needed_by="task miracl",
        folder=of_the_hub if (of_the_hub / name).is_file() else folder,
        cached=cache_dir() / "miracl" / name,
        url=f"{MIRACL_URL}/{name}",
        verify=partial(_verify_miracl, name, language),
    )


def _verify_miracl(name: str, language: str, path: Path) -> None:
    if name in MIRACL.checksums:
        right = sha256(path) == MIRACL.checksums[name]
    elif name.startswith("topics"):
        right = len(read_tsv_queries(path)) == MIRACL.counts[language].queries
    else:
        right = num_judgements(read_trec_qrels(path, None)) == MIRACL.counts[language].judgements
    if not right:
        raise DataError(
            f"{MIRACL_URL}/{name}: what was fetched is not the published file (SHA-256 {sha256(path)}); it was not "
            "kept. Fetch it again, or put a trusted copy into the task's folder."
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


def _mr_tydi_corpus(folder: Path, language: str) -> JsonLinesCorpus:
    """The archive's collection; or, of the hub's castorini/mr-tydi-corpus, corpus.jsonl.gz."""
    of_the_hub = plain_or_gz(folder / f"mrtydi-v1.1-{MR_TYDI_NAMES[language]}" / "corpus.jsonl")
    if of_the_hub.is_file():
        return JsonLinesCorpus((of_the_hub,))
    return JsonLinesCorpus((_mr_tydi_file(folder, language, "collection/docs.jsonl"),))


def _mr_tydi_file(folder: Path, language: str, name: str) -> Path:
    archive = f"mrtydi-v1.1-{MR_TYDI_NAMES[language]}"
    path = plain_or_gz(folder / archive / name)
    if not path.is_file():
        raise DataError(
            f"task mr_tydi: no {path}. Get {MR_TYDI_URL}/{archive}.tar.gz, and unpack it in {folder}: "
            f"tar -xzf {archive}.tar.gz"
        )
    return path

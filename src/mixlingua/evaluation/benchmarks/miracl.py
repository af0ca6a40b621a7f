"""Mr. TyDi: questions of native speakers over all of Wikipedia, in eleven languages (Zhang et al. 2021, MRL)."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import choose_languages
from mixlingua.evaluation.benchmarks.folder import pooled
from mixlingua.evaluation.benchmarks.trec_files import num_judgements, plain_or_gz, read_trec_qrels, read_tsv_queries
from mixlingua.evaluation.corpus_tasks import LOCAL, CorpusTask, Judgements, Queries
from mixlingua.files import cache_dir, local_or_fetched, sha256
from mixlingua.retrieval.corpus import Corpus, JsonLinesCorpus

logger = logging.getLogger(__name__)


class Published(NamedTuple):
    """Numbers of a benchmark in one language."""

    queries: int
    judgements: int
    passages: int


@dataclass(frozen=True)
class Judged:
    """The queries and judgements of one language, and the files that they were read from."""

    queries: Queries
    judgements: Judgements
    files: tuple[Path, Path]


def released_task(
    name: str,
    release: str,
    *,
    judged: Mapping[str, Judged],
    corpora: Mapping[str, Corpus],
    pool: str | None,
    published: Mapping[str, Published],
    checksums: Mapping[str, str],
    note: str,
    main_metric: str,
    shard_size: int,
    keep_vectors: bool,
) -> CorpusTask:
    """A benchmark over Wikipedia whose questions are asked of the corpus in their own language.

    Queries and judgements are known for the released ones by the SHA-256 of their files (checksums: by file name), or
    by their numbers where none is known; else the revision begins with "local", with a warning. pool: as in `pooled`.
    """
    others = [language for language, part in judged.items() if not _is_published(part, published[language], checksums)]
    if others:
        logger.warning(
            "task %s: queries or judgements in %s are not the published ones; scores compare with no published figure",
            name, ", ".join(others),
        )  # fmt: skip
    qrels = {(language, language): part.judgements for language, part in judged.items()}
    return CorpusTask(
        name=name,
        release=LOCAL if others else release if pool is None else f"{release}-pool",
        licence="Apache-2.0; passages from Wikipedia, CC BY-SA",
        note=note,
        queries={language: part.queries for language, part in judged.items()},
        corpora=pooled(corpora, qrels, pool),
        qrels=qrels,
        main_metric=main_metric,
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        published={language: published[language].passages for language in judged} if pool is None else {},
        files={f"{language}/{file.name}": sha256(file) for language, part in judged.items() for file in part.files},
    )


def _is_published(part: Judged, published: Published, checksums: Mapping[str, str]) -> bool:
    if all(file.name in checksums for file in part.files):
        return all(sha256(file) == checksums[file.name] for file in part.files)
    return (len(part.queries), num_judgements(part.judgements)) == (published.queries, published.judgements)


_PART = re.compile(r"docs-(\d+)\.jsonl(?:\.gz)?")
URL = "https://raw.githubusercontent.com/castorini/anserini-tools/master/topics-and-qrels"
PUBLISHED = {  # of the development set
    "ar": Published(2_896, 29_197, 2_061_414),
    "bn": Published(411, 4_206, 297_265),
    "de": Published(305, 3_144, 15_866_222),
    "en": Published(799, 8_350, 32_893_221),
    "es": Published(648, 6_443, 10_373_953),
    "fa": Published(632, 6_571, 2_207_172),
    "fi": Published(1_271, 12_008, 1_883_509),
    "fr": Published(343, 3_429, 14_636_953),
    "hi": Published(350, 3_494, 506_264),
    "id": Published(960, 9_668, 1_446_315),
    "ja": Published(860, 8_354, 6_953_614),
    "ko": Published(213, 3_057, 1_486_752),
    "ru": Published(1_252, 13_100, 9_543_918),
    "sw": Published(482, 5_092, 131_924),
    "te": Published(828, 1_606, 518_079),
    "th": Published(733, 7_573, 542_166),
    "yo": Published(119, 1_188, 49_043),
    "zh": Published(393, 3_928, 4_934_368),
}
CHECKSUMS = {
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
}


def miracl(
    folder: str | Path, languages: Sequence[str] | None, pool: str | None, shard_size: int, keep_vectors: bool
) -> CorpusTask:
    """MIRACL v1.0, development set: each question against the Wikipedia of its own language.

    folder: where queries, judgements and corpora are looked for (docs/corpora.md); the first two are fetched where they
    are missing. They are known by checksum in eight languages and else by their published numbers, corpora by their
    numbers of passages. pool: as in `pooled`. Raises DataError for a file that is missing or malformed, ConfigError for
    a language that the benchmark does not have.
    """
    folder = Path(folder)
    chosen = choose_languages("miracl", languages, PUBLISHED)
    return released_task(
        "miracl",
        "v1.0-dev",
        judged={language: _miracl_judged(folder, language) for language in chosen},
        corpora={language: _miracl_corpus(folder, language) for language in chosen},
        pool=pool,
        published=PUBLISHED,
        checksums=CHECKSUMS,
        note="About ten passages a question were judged, out of what several systems found first.",
        main_metric="ndcg_at_10",
        shard_size=shard_size,
        keep_vectors=keep_vectors,
    )


def _miracl_judged(folder: Path, language: str) -> Judged:
    topics, qrels = (_path(folder, language, kind) for kind in ("topics", "qrels"))
    queries = read_tsv_queries(topics)
    return Judged(queries, read_trec_qrels(qrels, queries), (topics, qrels))


def _path(folder: Path, language: str, kind: str) -> Path:
    name = f"{kind}.miracl-v1.0-{language}-dev.tsv"
    of_the_hub = folder / f"miracl-v1.0-{language}" / kind
    return local_or_fetched(
        name,
        needed_by="task miracl",
        folder=of_the_hub if (of_the_hub / name).is_file() else folder,
        cached=cache_dir() / "miracl" / name,
        url=f"{URL}/{name}",
        verify=partial(_verify, name, language),
    )


def _verify(name: str, language: str, path: Path) -> None:
    if name in CHECKSUMS:
        right = sha256(path) == CHECKSUMS[name]
    elif name.startswith("topics"):
        right = len(read_tsv_queries(path)) == PUBLISHED[language].queries
    else:
        right = num_judgements(read_trec_qrels(path, None)) == PUBLISHED[language].judgements
    if not right:
        raise DataError(
            f"{URL}/{name}: what was fetched is not the published file (SHA-256 {sha256(path)}); it was not kept. "
            "Fetch it again, or put a trusted copy into the task's folder."
        )


def _miracl_corpus(folder: Path, language: str) -> JsonLinesCorpus:
    released = f"miracl-corpus-v1.0-{language}"
    places = [folder / released, folder / "miracl-corpus" / released, folder / "miracl-corpus" / language]
    for place in places:
        parts = {int(match[1]): place / match[0] for match in map(_PART.fullmatch, _names(place)) if match}
        if parts:
            return JsonLinesCorpus(tuple(parts[number] for number in sorted(parts)))
    raise DataError(
        f"task miracl: no docs-0.jsonl.gz, ... of the {language} corpus in {', '.join(map(str, places))}. Get it with: "
        f"hf download miracl/miracl-corpus --repo-type dataset --include '{released}/*' --local-dir {folder}"
    )


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


TYDI_URL = "https://git.uwaterloo.ca/jimmylin/mr.tydi/-/raw/master/data"
NAMES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ja": "japanese",
    "ko": "korean", "ru": "russian", "sw": "swahili", "te": "telugu", "th": "thai",
}  # fmt: skip
TYDI_PUBLISHED = {  # of the test set; the paper says 664 judgements in te, version 1.1 has 677
    "ar": Published(1_081, 1_257, 2_106_586),
    "bn": Published(111, 130, 304_059),
    "en": Published(744, 935, 32_907_100),
    "fi": Published(1_254, 1_451, 1_908_757),
    "id": Published(829, 961, 1_469_399),
    "ja": Published(720, 923, 7_000_027),
    "ko": Published(421, 492, 1_496_126),
    "ru": Published(995, 1_168, 9_597_504),
    "sw": Published(670, 743, 136_689),
    "te": Published(646, 677, 548_224),
    "th": Published(1_190, 1_368, 568_855),
}


def mr_tydi(
    folder: str | Path, languages: Sequence[str] | None, pool: str | None, shard_size: int, keep_vectors: bool
) -> CorpusTask:
    """Mr. TyDi v1.1, test set: each question against the Wikipedia of its own language.

    folder: that of mrtydi-v1.1-arabic, ..., as the archives unpack. Files are recognised by their published numbers of
    questions, judgements and passages, since no checksums are published. pool: as in `pooled`. Raises DataError for a
    file that is missing or malformed, ConfigError for a language that the benchmark does not have.
    """
    folder = Path(folder)
    chosen = choose_languages("mr_tydi", languages, TYDI_PUBLISHED)
    return released_task(
        "mr_tydi",
        "v1.1-test",
        judged={language: _judged(folder, language) for language in chosen},
        corpora={language: _corpus(folder, language) for language in chosen},
        pool=pool,
        published=TYDI_PUBLISHED,
        checksums={},
        note="Few passages a question were judged: those of the article that its annotator had before them.",
        main_metric="mrr_at_100",
        shard_size=shard_size,
        keep_vectors=keep_vectors,
    )


def _judged(folder: Path, language: str) -> Judged:
    topics = _there(folder, language, "topic.test.tsv")
    qrels = _there(folder, language, "qrels.test.txt")
    queries = read_tsv_queries(topics)
    return Judged(queries, read_trec_qrels(qrels, queries), (topics, qrels))


def _corpus(folder: Path, language: str) -> JsonLinesCorpus:
    """The archive's collection; or, of the hub's castorini/mr-tydi-corpus, corpus.jsonl.gz."""
    of_the_hub = plain_or_gz(folder / f"mrtydi-v1.1-{NAMES[language]}" / "corpus.jsonl")
    if of_the_hub.is_file():
        return JsonLinesCorpus((of_the_hub,))
    return JsonLinesCorpus((_there(folder, language, "collection/docs.jsonl"),))


def _there(folder: Path, language: str, name: str) -> Path:
    release = f"mrtydi-v1.1-{NAMES[language]}"
    path = plain_or_gz(folder / release / name)
    if not path.is_file():
        raise DataError(
            f"task mr_tydi: no {path}. Get {TYDI_URL}/{release}.tar.gz, and unpack it in {folder}: "
            f"tar -xzf {release}.tar.gz"
        )
    return path

"""Mr. TyDi: questions of native speakers over all of Wikipedia, in eleven languages (Zhang et al. 2021, MRL)."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.evaluation.choice import choose_languages
from mixlingua.evaluation.corpus_task import CorpusTask
from mixlingua.evaluation.judged_files import plain_or_gz, read_trec_qrels, read_tsv_queries
from mixlingua.evaluation.released import Judged, Published, released_task
from mixlingua.retrieval.corpus import JsonLinesCorpus

URL = "https://git.uwaterloo.ca/jimmylin/mr.tydi/-/raw/master/data"
NAMES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ja": "japanese",
    "ko": "korean", "ru": "russian", "sw": "swahili", "te": "telugu", "th": "thai",
}  # fmt: skip
PUBLISHED = {  # of the test set; the paper says 664 judgements in te, version 1.1 has 677
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
    chosen = choose_languages("mr_tydi", languages, PUBLISHED)
    return released_task(
        "mr_tydi",
        "v1.1-test",
        judged={language: _judged(folder, language) for language in chosen},
        corpora={language: _corpus(folder, language) for language in chosen},
        pool=pool,
        published=PUBLISHED,
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
            f"task mr_tydi: no {path}. Get {URL}/{release}.tar.gz, and unpack it in {folder}: tar -xzf {release}.tar.gz"
        )
    return path

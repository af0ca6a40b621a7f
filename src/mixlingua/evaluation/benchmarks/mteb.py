"""The retrieval tasks of mteb (Muennighoff et al. 2022, arXiv 2210.07316), measured here.

Needs the extra "mteb", which is imported where it is used. `publish/mteb.py` is the other way round.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mixlingua.errors import ConfigError, DataError, check_choice, suggest
from mixlingua.evaluation.corpus_tasks import LOCAL, SHARD_SIZE, CorpusTask
from mixlingua.evaluation.engines import on_disk
from mixlingua.evaluation.metrics import QUALITY
from mixlingua.evaluation.results import ResultRow, TaskResult
from mixlingua.languages import code_here
from mixlingua.retrieval.corpus import Passage
from mixlingua.retrieval.encode import Encode

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

PAIR_ORDERS = ("query_first", "corpus_first")
Subsets = Mapping[str, tuple[str, str]]  # mteb's name of a subset -> query and passage language


def mteb_tasks(
    tasks: Sequence[str | AbsTaskRetrieval],
    split: str | None = None,
    subsets: Sequence[str] | None = None,
    pair_order: str | None = None,
    parallel_queries: bool | None = None,
    shard_size: int = SHARD_SIZE,
    keep_vectors: bool = False,
) -> list[MtebTask]:
    """Retrieval tasks of mteb, each a task here: with its pairs of languages as settings, and results in its format.

    tasks: names, such as [SciFact, BelebeleRetrieval]; or mteb's task objects
    split: of the data; null: the one that mteb evaluates, where it is one
    subsets: of each task, by mteb's names; null: all
    pair_order: of the two languages of a subset, query_first or corpus_first: mteb's order differs between tasks
    parallel_queries: whether queries with one id are one question in several languages; BelebeleRetrieval, for one,
    numbers those of each language anew. Needed where several languages have an id, since comparisons draw a question
    with all its translations
    shard_size: passages encoded and stored together; bounds memory, and what a stopped run repeats
    keep_vectors: leave the vectors in the cache

    A task whose subsets have different corpora in one language, or one pair of languages twice, becomes a task for each
    subset, TASK_SUBSET. So does one that leaves out passages with the query's id and has no parallel queries.
    Files come from the hub, as mteb fetches them. mteb ranks passages with equal scores by their ids, and here they
    rank against the system: figures differ where scores tie.
    Raises ConfigError for names, splits and subsets that are not there, and for tasks that cannot be measured here:
    other modalities, reranking, conversations, a main metric that is not computed, languages without an ISO 639-1 code.
    DataError where mteb cannot load the data.
    """
    if pair_order is not None:
        check_choice("evaluation.tasks.mteb.pair_order", pair_order, PAIR_ORDERS)
    if isinstance(tasks, str) or not tasks:
        raise ConfigError(f"evaluation.tasks.mteb.tasks={tasks}: a list of mteb's names, such as [SciFact].")
    storage = {"shard_size": shard_size, "keep_vectors": keep_vectors}
    return [
        made for task in tasks for made in _made(_loaded(task), split, subsets, pair_order, parallel_queries, storage)
    ]


@dataclass(frozen=True)
class MtebTask(CorpusTask):
    """Subsets of a retrieval task of mteb. Its results come as a file of mteb's format too, RUN/mteb/NAME.json.

    source: mteb's task. split: of its data. subsets: the languages of each.
    """

    source: Any = None
    split: str = ""
    subsets: Subsets = field(default_factory=dict)

    def evaluate(self, encode: Encode) -> TaskResult:
        """As corpora on disk are searched (`engines.on_disk.evaluate`)."""
        started = time.monotonic()
        result = on_disk.evaluate(self, encode)
        content = self._in_its_format(result.rows, time.monotonic() - started)
        return replace(result, further_files={f"mteb/{self.name}.json": content})

    def _in_its_format(self, rows: Sequence[ResultRow], seconds: float) -> str:
        from mteb.results import TaskResult as MtebResult

        main = self.source.metadata.main_score
        scores: dict[str, dict[str, Any]] = {}
        for subset, pair in self.subsets.items():
            found = {
                row.metric: row.value
                for row in rows
                if (row.query_language, row.passage_language) == pair and row.metric in QUALITY
            }
            scores[subset] = {**found, "main_score": found[main]}
        result = MtebResult.from_task_results(self.source, {self.split: scores}, evaluation_time=seconds)
        return json.dumps(json.loads(result.model_dump_json()), indent=2) + "\n"


@dataclass(frozen=True)
class _DatasetCorpus:
    """The corpus of a subset: rows with id, text and, it may be, title."""

    rows: Any
    name: str

    @property
    def size(self) -> int:
        return int(self.rows.data.nbytes)

    def passages(self) -> Iterator[Passage]:
        for row in self.rows:
            title = row.get("title") or ""
            yield Passage(str(row["id"]), f"{title} {row['text']}".strip() if title else row["text"].strip())

    def where(self, position: int) -> str:
        return f"{self.name}: row {position}"


def _loaded(task: str | AbsTaskRetrieval) -> AbsTaskRetrieval:
    try:
        import mteb
        from mteb.abstasks.retrieval import AbsTaskRetrieval
    except ImportError as error:
        raise ConfigError("evaluation=mteb needs mteb, which is not installed: pip install 'mteb>=2.20,<3'.") from error
    try:
        loaded = mteb.get_task(task) if isinstance(task, str) else task
    except KeyError as error:
        names = [known.metadata.name for known in mteb.get_tasks(task_types=["Retrieval"])]
        raise ConfigError(
            f"evaluation.tasks.mteb.tasks: mteb has no task '{task}'.{suggest(str(task), names)}"
        ) from error
    about = loaded.metadata
    if not isinstance(loaded, AbsTaskRetrieval) or set(about.modalities) != {"text"}:
        raise ConfigError(
            f"evaluation.tasks.mteb.tasks: {about.name} is {about.type}; retrieval of text is measured here."
        )
    if about.main_score not in QUALITY:
        raise ConfigError(
            f"evaluation.tasks.mteb.tasks: the main score of {about.name} is {about.main_score}, which is none of "
            f"{', '.join(QUALITY)}."
        )
    if not loaded.data_loaded:
        try:
            loaded.load_data()
        except Exception as error:  # errors of its own, of datasets, of the hub's client and of HTTP libraries
            raise DataError(
                f"evaluation.tasks.mteb.tasks: the data of {about.name} could not be fetched or read "
                f"({type(error).__name__}: {error}). Run once with a network, or set HF_HOME to a cache that has them."
            ) from error
    loaded.convert_v1_dataset_format_to_v2(num_proc=None)
    return loaded


def _made(
    source: AbsTaskRetrieval,
    split: str | None,
    chosen: Sequence[str] | None,
    pair_order: str | None,
    parallel_queries: bool | None,
    storage: Mapping[str, Any],
) -> list[MtebTask]:
    name = source.metadata.name
    splits = _chosen(name, "split", [split] if split else source.eval_splits, source.metadata.eval_splits)
    if len(splits) > 1:
        raise ConfigError(
            f"evaluation.tasks.mteb.split: {name} is evaluated on {', '.join(splits)}; choose one of them."
        )
    split = splits[0]
    offered = [subset for subset, by_split in source.dataset.items() if split in by_split]
    names = _chosen(name, "subsets", offered if chosen is None else chosen, offered)
    subsets = {
        subset: _pair(name, subset, source.metadata.hf_subsets_to_langscripts[subset], pair_order) for subset in names
    }
    data = {subset: source.dataset[subset][split] for subset in names}
    if reranked := [subset for subset in names if data[subset].get("top_ranked") is not None]:
        raise ConfigError(f"evaluation.tasks.mteb.tasks: {name} ({', '.join(reranked)}) reranks given passages.")
    if source.skip_first_result:
        raise ConfigError(f"evaluation.tasks.mteb.tasks: {name} leaves out each first result, which is not done here.")
    whole = _one_task(subsets, data)
    by_language = False  # whether an id is that of another question in another language
    if whole and (shared := _shared_id(subsets, data)):
        if parallel_queries is None:
            raise ConfigError(
                f"evaluation.tasks.mteb.tasks: in {name}, queries in several languages have the id {shared}, and mteb "
                "does not say whether they are one question. Set evaluation.tasks.mteb.parallel_queries to true where "
                "they are translations, to false where each language numbers its own."
            )
        whole = parallel_queries or not source.ignore_identical_ids
        by_language = whole and not parallel_queries
    return [
        _task(
            source,
            split,
            part,
            data,
            by_language,
            re.sub(r"\W", "_", "_".join([name] if whole else [name, *part])),
            storage,
        )
        for part in ([subsets] if whole else [{subset: pair} for subset, pair in subsets.items()])
    ]


def _chosen(task: str, key: str, wanted: Sequence[str], offered: Sequence[str]) -> list[str]:
    for one in wanted:
        if one not in offered:
            raise ConfigError(
                f"evaluation.tasks.mteb.{key}: {task} has no '{one}'; it has {', '.join(offered)}."
                f"{suggest(one, offered)}"
            )
    if not wanted:
        raise ConfigError(f"evaluation.tasks.mteb.{key}: nothing of {task} is chosen; it has {', '.join(offered)}.")
    return list(wanted)


def _pair(task: str, subset: str, named: Sequence[str], pair_order: str | None) -> tuple[str, str]:
    """Query and passage language of a subset."""
    where = f"evaluation.tasks.mteb.subsets: {subset} of {task}"
    codes = [code_here(str(language)) for language in named]
    if None in codes:
        raise ConfigError(f"{where} is in {', '.join(named)}; a language has no ISO 639-1 code. Choose other subsets.")
    first, *others = [code for code in codes if code]
    if not others:
        return first, first
    if len(others) > 1:
        raise ConfigError(f"{where} is in {', '.join(named)}; it is not known which language a query is in.")
    if pair_order is None:
        raise ConfigError(
            f"{where} is in {', '.join(named)}, and mteb does not say which of them its queries are in: set "
            f"evaluation.tasks.mteb.pair_order to {' or '.join(PAIR_ORDERS)}, as the data set has it."
        )
    return (first, others[0]) if pair_order == "query_first" else (others[0], first)


def _one_task(subsets: Subsets, data: Mapping[str, Any]) -> bool:
    """Whether no pair of languages comes twice and every language has one corpus."""
    corpora: dict[str, Any] = {}
    for subset, (_, language) in subsets.items():
        corpus = data[subset]["corpus"]
        other = corpora.setdefault(language, corpus)
        if corpus is not other and corpus.to_dict() != other.to_dict():
            return False
    return len(set(subsets.values())) == len(subsets)


def _shared_id(subsets: Subsets, data: Mapping[str, Any]) -> str | None:
    """An id that queries of several languages have, if there is one."""
    language_of: dict[str, str] = {}
    for subset, (language, _) in subsets.items():
        for key in map(str, data[subset]["queries"]["id"]):
            if language_of.setdefault(key, language) != language:
                return key
    return None


def _task(
    source: AbsTaskRetrieval,
    split: str,
    subsets: Subsets,
    data: Mapping[str, Any],
    by_language: bool,
    name: str,
    storage: Mapping[str, Any],
) -> MtebTask:
    """by_language: name queries en:17 for 17, where 17 is another question in another language."""
    about = source.metadata
    queries: dict[str, dict[str, str]] = {}
    qrels: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    corpora: dict[str, _DatasetCorpus] = {}
    for subset, pair in subsets.items():
        of_subset = data[subset]
        prefix = f"{pair[0]}:" if by_language else ""
        asked = {
            f"{prefix}{key}": text for key, text in _queries(f"{about.name} {subset}", of_subset["queries"]).items()
        }
        known = queries.setdefault(pair[0], {})
        if clash := [key for key, text in asked.items() if known.get(key, text) != text]:
            raise DataError(f"task {name}: query '{clash[0]}' has two texts in {pair[0]}; choose fewer subsets.")
        known |= asked
        qrels[pair] = {
            f"{prefix}{query}": {passage: int(grade) for passage, grade in grades.items()}
            for query, grades in of_subset["relevant_docs"].items()
            if f"{prefix}{query}" in asked
        }
        corpora.setdefault(pair[1], _DatasetCorpus(of_subset["corpus"], f"{about.name} {subset}"))
    return MtebTask(
        name=name,
        release=f"mteb-{about.dataset['revision'][:12] if about.dataset.get('revision') else LOCAL}",
        licence=str(about.license or "see the data set"),
        note=f"mteb's {about.name}, {split} split. Equal scores rank against the system, in mteb by id."
        + (" The passage with the query's own id is left out." if source.ignore_identical_ids else ""),
        queries=queries,
        corpora=corpora,
        qrels=qrels,
        main_metric=about.main_score,
        ignore_identical_ids=bool(source.ignore_identical_ids),
        source=source,
        split=split,
        subsets=subsets,
        **storage,
    )


def _queries(where: str, rows: Any) -> dict[str, str]:
    """id -> text, with the instruction behind it where there is one, as mteb joins them."""
    queries = {}
    for row in rows:
        if not isinstance(row["text"], str):
            raise ConfigError(f"evaluation.tasks.mteb.tasks: the queries of {where} are conversations, not texts.")
        instruction = row.get("instruction") or ""
        queries[str(row["id"])] = f"{row['text']} {instruction}" if instruction else row["text"]
    return queries

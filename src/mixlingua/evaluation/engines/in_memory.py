"""Retrieval with the pool in memory: encode every text once, rank whole pools exactly, keep one value per query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.rows import Side
from mixlingua.evaluation.bias import MixedRanks, preference_metrics, top_language_shares
from mixlingua.evaluation.engines.ranking import CROSSLINGUAL, MULTILINGUAL, Group, Relevant, groups_of
from mixlingua.evaluation.metrics import (
    Floats,
    Metrics,
    PerQueryMetric,
    RelevantRanks,
    count_less,
    metrics_of,
    relevant_ranks,
)
from mixlingua.evaluation.results import (
    SETTINGS,
    TOP,
    PerQueryTable,
    RankedPassage,
    TaskResult,
    WorstQuery,
    badness,
)
from mixlingua.evaluation.tasks import BitextTask, RetrievalTask
from mixlingua.retrieval.encode import Encode, encode_checked
from mixlingua.retrieval.passage_transforms import PassageTransforms
from mixlingua.retrieval.search import ExactScorer, blocks


def evaluate(task: RetrievalTask, encode: Encode) -> TaskResult:
    """Rank every query's pool in each of the task's settings and measure it.

    encode: (texts, side) -> (N, D) float32 vectors on the CPU, called once per side with the texts of all languages
    (once in all for a symmetric task); the inner product is the score. Every rank must call this; each ranks a part of
    the queries, all get one result. Scores are held of one block of queries at a time.
    Raises ModelError where a vector is not finite (it would rank anything).
    """
    query_vectors, passage_vectors = _encode_all(task, encode)
    scorer = ExactScorer(passage_vectors)
    pools, relevant, excluded = _pools(task), _relevant(task), _excluded(task)
    groups = groups_of(relevant.pairs(), task.languages, task.passage_languages, task.settings)
    metrics = {setting: PerQueryMetric(_metrics_of(setting, task)) for setting in task.settings}
    codes = np.repeat(np.arange(len(task.passage_languages)), list(task.num_passages.values()))
    worst = WorstQueries(task, pools)
    for turn, (language, queries) in enumerate(_query_blocks(task, scorer.num_passages)):
        if turn % distributed.world_size() != distributed.rank():
            continue
        scores = scorer(query_vectors[queries]).numpy()
        for row, columns in enumerate(excluded[queries] if excluded else ()):
            scores[row, columns] = -np.inf
        block = _Block(relevant.within(queries), scores, list(pools.values()), codes, MULTILINGUAL in task.settings)
        for number, group in enumerate(groups):
            if group.query_language == language:
                rows, ranking = block.ranking(group)
                if len(rows):
                    metrics[group.setting].update(ranking, number, rows + queries.start)
                    worst.update(group, block, rows, ranking)
    ids = [query for language in task.languages for query in task.queries[language]]
    pairs = [(group.query_language, group.passage_language) for group in groups]
    tables = {setting: PerQueryTable.collected(metrics[setting], pairs, [ids] * len(groups)) for setting in metrics}
    return TaskResult(task.name, task.provenance(), tables, worst.gathered())


def evaluate_bitext(task: BitextTask, encode: Encode) -> TaskResult:
    """Rank the whole pool of every sentence; every rank must call this, and ranks the directions that are its turn.

    Raises ModelError where a vector is not finite.
    """
    rows = task.texts()
    vectors = encode_checked(encode, list(rows), "query", f"task {task.name}")
    metric = PerQueryMetric(metrics_of(CROSSLINGUAL))
    directions = list(task.directions())
    for group, (_, queries, passages) in enumerate(directions):
        if group % distributed.world_size() != distributed.rank():
            continue
        query_vectors, passage_vectors = (vectors[[rows[text] for text in side]] for side in (queries, passages))
        scorer = ExactScorer(passage_vectors)
        for block in blocks(len(queries), len(passages)):
            lines = np.arange(block.start, block.stop)
            scores = scorer(query_vectors[block]).numpy()
            metric.update(relevant_ranks(scores, lines[:, None], np.ones((len(lines), 1))), group, lines)
    pairs = [pair for pair, _, _ in directions]
    query_ids = [
        [f"{'-'.join(sorted(pair))}:{line}" for line in range(1, len(queries) + 1)] for pair, queries, _ in directions
    ]
    return TaskResult(task.name, task.provenance(), {CROSSLINGUAL: PerQueryTable.collected(metric, pairs, query_ids)})


def _encode_all(task: RetrievalTask, encode: Encode) -> tuple[Tensor, Tensor]:
    """The vectors of all queries and passages, languages in order, after the task's passage transforms."""
    queries = [text for language in task.languages for text in task.queries[language].values()]
    passages = [text for language in task.passage_languages for text in task.passages[language].values()]
    candidates = [*passages, *_contexts(task)]
    if task.symmetric:
        vectors = _encode(task, encode, [*queries, *candidates], "query")
        query_vectors, candidate_vectors = vectors[: len(queries)], vectors[len(queries) :]
    else:
        query_vectors = _encode(task, encode, queries, "query")
        candidate_vectors = _encode(task, encode, candidates, "passage")
    searched = _transformed(task, candidate_vectors[: len(passages)], candidate_vectors[len(passages) :])
    return task.transforms.queries(query_vectors), searched


def _encode(task: RetrievalTask, encode: Encode, texts: Sequence[str], side: Side) -> Tensor:
    return encode_checked(encode, texts, side, f"task {task.name}")


def _contexts(task: RetrievalTask) -> list[str]:
    """The context of each passage, in the order of the passages; none where they are not added."""
    if not task.transforms.context_weight:
        return []
    return [task.contexts[language][key] for language in task.passage_languages for key in task.passages[language]]


def _transformed(task: RetrievalTask, passages: Tensor, contexts: Tensor) -> Tensor:
    if task.transforms == PassageTransforms():
        return passages
    languages = [language for language in task.passage_languages for _ in task.passages[language]]
    return distributed.on_first_rank(lambda: task.transforms.passages(passages, contexts, languages))


def _query_blocks(task: RetrievalTask, num_passages: int) -> Iterator[tuple[str, slice]]:
    """Query language, and positions among all queries of those whose scores are held in memory together."""
    start = 0
    for language, number in task.num_queries.items():
        for block in blocks(number, num_passages):
            yield language, slice(start + block.start, start + block.stop)
        start += number


def _metrics_of(setting: str, task: RetrievalTask) -> Metrics:
    """Only a pool that holds several languages lets a model prefer one."""
    preference = preference_metrics(task.passage_languages) if setting == MULTILINGUAL else {}
    return {**metrics_of(setting), **preference}


def _pools(task: RetrievalTask) -> dict[str, slice]:
    """By language, the columns of its passages among those of all."""
    ends = np.cumsum(list(task.num_passages.values())).tolist()
    return {
        language: slice(start, end)
        for language, start, end in zip(task.passage_languages, [0, *ends], ends, strict=False)
    }


def _relevant(task: RetrievalTask) -> Relevant:
    """Of all queries: each has something relevant."""
    places = {
        key: (code, position)
        for code, language in enumerate(task.passage_languages)
        for position, key in enumerate(task.passages[language])
    }
    return Relevant.of(
        task.passage_languages,
        [
            (
                language,
                query,
                [
                    (*places[passage], grade)
                    for passage, grade in task.qrels[language][query].items()
                    if grade > 0 and passage not in excluded.get(query, ())
                ],
            )
            for language in task.languages
            for excluded in [task.excluded.get(language, {})]
            for query in task.queries[language]
        ],
    )


def _excluded(task: RetrievalTask) -> list[list[int]]:
    """The columns that each query cannot find; nothing where no query has any."""
    if not task.excluded:
        return []
    keys = (key for language in task.passage_languages for key in task.passages[language])
    columns = {key: column for column, key in enumerate(keys)}
    return [
        [columns[passage] for passage in task.excluded.get(language, {}).get(query, ())]
        for language in task.languages
        for query in task.queries[language]
    ]


class _Block:
    """Queries of one language with their scores over the passages of all languages, ranked in any pool.

    relevant: of n queries. scores: (n, P), -inf for what a query cannot find. pools: the columns of each language.
    codes: (P,) the language of each passage. mixed: whether all pools are also ranked as one.
    """

    def __init__(
        self,
        relevant: Relevant,
        scores: NDArray[np.float32],
        pools: Sequence[slice],
        codes: NDArray[np.int64],
        mixed: bool,
    ) -> None:
        self.relevant, self.scores, self.codes = relevant, scores, codes
        used, starts = relevant.pools >= 0, np.array([pool.start for pool in pools])
        self.columns = np.where(used, starts[relevant.pools] + relevant.positions, -1)  # (n, R)
        found = np.take_along_axis(scores, np.maximum(self.columns, 0), axis=1)
        self.found = np.where(used, found, np.float32(-np.inf))
        self.below_in_own = np.zeros(used.shape, np.int64)  # in the pool of the relevant passage
        for place in range(used.shape[1]):
            for code, pool in enumerate(pools):
                rows = np.flatnonzero(relevant.pools[:, place] == code)
                part = scores[:, pool] if len(rows) == len(scores) else scores[rows, pool]
                self.below_in_own[rows, place] = count_less(part, self.found[rows, place])
        self.below_in_all, self.shares = self.below_in_own, np.zeros((len(scores), 0))
        if mixed:
            self.below_in_all = np.stack([count_less(scores, column) for column in self.found.T], axis=1)
            self.shares = top_language_shares(scores, self.columns, relevant.grades, codes, TOP)

    def ranking(self, group: Group) -> tuple[NDArray[np.int64], RelevantRanks]:
        """The queries of a group, as positions in the block, and the ranks of what is relevant to them."""
        if group.setting != MULTILINGUAL:
            pool_size = int((self.codes == self.relevant.languages.index(group.passage_language)).sum())
            return self.relevant.ranking(group, self.found, self.below_in_own, pool_size)
        rows, ranking = self.relevant.ranking(group, self.found, self.below_in_all, len(self.codes))
        languages = self.relevant.languages
        return rows, MixedRanks(
            **vars(ranking),
            top=self.shares[rows],
            pool=np.bincount(self.codes) / len(self.codes),
            language=languages.index(group.query_language) if group.query_language in languages else -1,
        )


NUM_WORST = 10  # questions of each setting


class WorstQueries:
    """Keeps the worst questions of each setting, NUM_WORST of them, each question once, in its worst language.

    A question that fails in one language mostly fails in all: without this, one question would fill the list.
    """

    def __init__(self, task: RetrievalTask, pools: Mapping[str, slice]) -> None:
        self.task, self.pools = task, pools
        self.passages = [(language, key) for language in pools for key in task.passages[language]]
        self.kept: dict[str, dict[str, WorstQuery]] = {}  # setting -> query id -> the query in its worst language

    def update(self, group: Group, block: _Block, rows: NDArray[np.int64], ranking: RelevantRanks) -> None:
        """Look through the queries of a group: positions in the block, and their ranks."""
        values, first = metrics_of(group.setting)[self.task.main_metric](ranking), ranking.ranks.min(axis=1)
        kept = self.kept.get(group.setting, {})
        bound = max(map(badness, kept.values())) if len(kept) == NUM_WORST else (np.inf,)
        for query in np.lexsort((-first, values))[:NUM_WORST].tolist():
            row, rank = int(rows[query]), min(first[query], ranking.pool_size)
            pair, query_id = (group.query_language, group.passage_language), block.relevant.query_ids[row]
            if (float(values[query]), -rank, *pair, query_id) < bound:
                self._keep(self._described(group, block, row, ranking.ranks[query], float(values[query])))

    def gathered(self) -> list[WorstQuery]:
        """Those of all ranks, by setting, the worst first; every rank must call this."""
        entries = [entry for by_query in self.kept.values() for entry in by_query.values()]
        for of_rank in distributed.all_gather_objects(entries):
            for entry in of_rank:
                self._keep(entry)
        settings = [setting for setting in SETTINGS if setting in self.kept]
        return [entry for name in settings for entry in sorted(self.kept[name].values(), key=badness)]

    def _keep(self, entry: WorstQuery) -> None:
        entries = self.kept.setdefault(entry.setting, {})
        known = entries.get(entry.query_id)
        if known is None or badness(entry) < badness(known):
            entries[entry.query_id] = entry
        if len(entries) > NUM_WORST:
            del entries[max(entries.values(), key=badness).query_id]

    def _described(self, group: Group, block: _Block, row: int, ranks: Floats, value: float) -> WorstQuery:
        pool = slice(self.pools[group.pool[0]].start, self.pools[group.pool[-1]].stop)
        scores, columns = block.scores[row, pool], block.columns[row] - pool.start
        columns = columns[(columns >= 0) & (columns < len(scores))]
        ranks = np.minimum(ranks[: len(columns)], len(scores)).astype(int)
        highest = np.flatnonzero(scores == scores.max())  # of several an irrelevant one is first, as in the metrics
        wrong = np.setdiff1d(highest, columns)
        first, best = int((wrong if len(wrong) else highest)[0]), int(columns[scores[columns].argmax()])
        query_id = str(block.relevant.query_ids[row])

        def ranked(column: int, rank: int) -> RankedPassage:
            language, key = self.passages[pool.start + column]
            return RankedPassage(key, language, self.task.passages[language][key], rank, float(scores[column]))

        return WorstQuery(
            task=self.task.name,
            setting=group.setting,
            query_id=query_id,
            query_language=group.query_language,
            passage_language=group.passage_language,
            query=self.task.queries[group.query_language][query_id],
            metric=self.task.main_metric,
            value=value,
            pool_size=len(scores),
            num_relevant=len(columns),
            last_rank=int(ranks.max()),
            first=ranked(first, 1),
            relevant=ranked(best, int(ranks.min())),
        )

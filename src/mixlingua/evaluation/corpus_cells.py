"""The cells of a result over corpora: which queries are ranked against which pool, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixlingua.evaluation.bias import OWN, own_ranks
from mixlingua.evaluation.corpus_ranks import Found, Relevant
from mixlingua.evaluation.metrics import Floats, metrics_of, ranks_from_counts
from mixlingua.evaluation.per_query import Metrics
from mixlingua.evaluation.results import PerQueryTable
from mixlingua.evaluation.settings import ALL_LANGUAGES, SETTINGS

if TYPE_CHECKING:
    from mixlingua.evaluation.corpus_task import CorpusTask

MONOLINGUAL, CROSSLINGUAL, MULTILINGUAL = SETTINGS

Languages = tuple[str, ...]  # those of corpora that are searched together
Results = Mapping[Languages, tuple[Relevant, Found]]


@dataclass(frozen=True)
class Cell:
    """The queries of a language against one pool. pool: the languages of its corpora."""

    setting: str
    query_language: str
    passage_language: str
    pool: Languages


def cells_of(task: CorpusTask) -> list[Cell]:
    """Monolingual and cross-lingual: a cell for every pair of languages with relevant passages. Multilingual: one for
    every query language that has them in each of several corpora; others would miss the answers in their pool."""
    pairs = sorted(
        pair
        for pair, judgements in task.qrels.items()
        if any(grade > 0 for grades in judgements.values() for grade in grades.values())
    )
    cells = [Cell(MONOLINGUAL if a == b else CROSSLINGUAL, a, b, (b,)) for a, b in pairs]
    corpora = tuple(sorted(task.corpora))
    if len(corpora) > 1:
        whole = [language for language in task.asked if all((language, other) in pairs for other in corpora)]
        cells += [Cell(MULTILINGUAL, language, ALL_LANGUAGES, corpora) for language in whole]
    return cells


def searched_together(cells: Sequence[Cell]) -> list[Languages]:
    """The corpora of each search: one at a time, unless a pool holds several."""
    pools = sorted({cell.pool for cell in cells}, key=lambda pool: (-len(pool), pool))
    return pools[:1] if len(pools[0]) > 1 else pools


def tables_of(task: CorpusTask, cells: Sequence[Cell], results: Results) -> dict[str, PerQueryTable]:
    """The values of every query by setting, from what was found in the corpora."""
    by_setting = {setting: [cell for cell in cells if cell.setting == setting] for setting in SETTINGS}
    return {setting: _table(task, setting, own, results) for setting, own in by_setting.items() if own}


def _table(task: CorpusTask, setting: str, cells: Sequence[Cell], results: Results) -> PerQueryTable:
    metrics: Metrics = {**metrics_of(setting), **(OWN if setting == MULTILINGUAL else {})}
    ids: list[str] = []
    pairs: list[tuple[str, str]] = []
    values: dict[str, list[Floats]] = {name: [] for name in metrics}
    for cell in cells:
        relevant, found = next(part for languages, part in results.items() if set(cell.pool) <= set(languages))
        pool = [relevant.languages.index(language) for language in cell.pool]
        inside = np.isin(relevant.corpora, pool) & (relevant.query_languages == cell.query_language)[:, None]
        rows = np.flatnonzero(inside.any(axis=1))
        scores, grades = np.where(inside, found.scores, -np.inf)[rows], np.where(inside, relevant.grades, 0.0)[rows]
        pool_size = sum(task.censuses[language].num_passages for language in cell.pool)
        ranks = ranks_from_counts(scores, found.below[pool].sum(axis=0)[rows], grades, pool_size)
        if setting == MULTILINGUAL:
            languages = np.array([*relevant.languages, ""])  # the last one: of unused places, -1
            ranks = own_ranks(ranks, scores, grades, languages[relevant.corpora[rows]] == cell.query_language)
        ids += [relevant.query_ids[row] for row in rows.tolist()]
        pairs += [(cell.query_language, cell.passage_language)] * len(rows)
        for name, metric in metrics.items():
            values[name].append(metric(ranks))
    return PerQueryTable(
        query_ids=ids,
        query_languages=[query_language for query_language, _ in pairs],
        passage_languages=[passage_language for _, passage_language in pairs],
        values={name: np.concatenate(parts) for name, parts in values.items()},
    )

"""Benchmarks from training data: the evaluation part of the embedded atlas, and the documents held out of any source.

Held-out documents are there to choose settings by, in place of a test set.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mixlingua.data.atlas import LICENCE, REVISION, evaluation_split
from mixlingua.data.build import build_store
from mixlingua.data.groups import hold_out
from mixlingua.data.rows import Reader, Side, normalised
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError, DataError, check_whole
from mixlingua.evaluation.benchmarks.common import parallel_qrels, settings_of, with_language
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import cache_dir, content_hash
from mixlingua.languages import check_language

_SIDES: tuple[Side, Side] = ("query", "passage")

logger = logging.getLogger(__name__)


def atlas() -> RetrievalTask:
    """Parallel questions on countries, currencies, languages and scripts that training never sees, with one relevant
    passage in every language."""
    split = evaluation_split()
    answers = {
        language: {query: split.relevant[query] for query in queries} for language, queries in split.queries.items()
    }
    return RetrievalTask(
        name="atlas",
        revision=REVISION,
        licence=LICENCE,
        note="Generated from CLDR data with templates; split by entity. Easier than text that people wrote.",
        queries=split.queries,
        passages=with_language(split.passages),
        qrels=parallel_qrels(answers),
    )


def held_out(
    sources: Mapping[str, Reader],
    validation_fraction: float,
    rows: int = 200,
    languages: Sequence[str] | None = None,
) -> RetrievalTask:
    """Queries of held-out rows, over the passages of the held-out rows of all sources, in every setting.

    Training with this fraction or a larger one sees none of the rows, since the split is by a hash of the document.

    sources: name -> reader, as in training
    validation_fraction: as in training
    rows: of each source at most, drawn at random, the same ones whatever the seed of a run
    languages: of queries and passages, trained on or not; those that no row has are left out; null: all of the sources

    Relevant are a row's passages in all languages, and those of rows whose query is the same text. Equal passages of a
    language are one candidate. Texts are equal where `mixlingua.data.rows.normalised` makes them so. Rows that have
    only one of several languages are left out, and so are those with one text for query and passage, such as sentences
    with their translations: they find themselves.
    Raises ConfigError for a fraction of 0, rows that are no number of at least 1, or a code that is no language;
    DataError where no row is left, or a source cannot be read.
    """
    check_whole("evaluation.tasks.held_out.rows", rows, 1)
    stores = _stores(sources, validation_fraction, cache_dir())
    known = sorted({language for store in stores.values() for language in store.languages})
    wanted = known if languages is None else [check_language(one, "task held_out") for one in languages]
    by_source = {name: list(islice(_usable_rows(name, store, wanted), rows)) for name, store in stores.items()}
    if empty := [name for name, of_source in by_source.items() if not of_source]:
        logger.info("held_out: left out, having no row with a query of its own: %s", ", ".join(empty))
    drawn = [row for of_source in by_source.values() for row in of_source]
    if not drawn:
        raise DataError(
            f"task held_out: no held-out row of {', '.join(by_source)} has a query other than its passage in "
            f"{'two of ' if len(wanted) > 1 else ''}{', '.join(wanted)}; the data have {', '.join(known)}. Choose "
            "among these by evaluation.tasks.held_out.languages=[...]; for translations of sentences: evaluation=ntrex "
            f"or tatoeba; or hold out more than data.validation_fraction={validation_fraction}."
        )
    if unmeasured := [language for language in known if language not in wanted]:
        more = f" and {len(unmeasured) - 5} more" if unmeasured[5:] else ""
        logger.warning(
            "held_out: not measured in %s%s; evaluation.tasks.held_out.languages=null takes all languages of the data",
            ", ".join(unmeasured[:5]), more,
        )  # fmt: skip
    chosen = [language for language in wanted if any(language in row.queries for row in drawn)]
    if languages is not None and (lacking := [language for language in wanted if language not in chosen]):
        logger.warning("held_out: no held-out row of %s is in %s", ", ".join(by_source), ", ".join(lacking))
    return _task(drawn, chosen)


@dataclass(frozen=True)
class _Row:
    """queries, passages: language -> text, in the same languages."""

    id: str
    queries: dict[str, str]
    passages: dict[str, str]


def _stores(sources: Mapping[str, Reader], fraction: float, cache: Path) -> dict[str, ParallelStore]:
    if not fraction:
        raise ConfigError(
            f"task held_out: data.validation_fraction={fraction} holds nothing out. Set it to what the model was or "
            "will be trained with, such as data.validation_fraction=0.1."
        )
    divided = hold_out([build_store(reader, cache) for reader in sources.values()], fraction, cache)
    return {name: validation for name, (_, validation) in zip(sources, divided, strict=True)}


def _usable_rows(name: str, store: ParallelStore, languages: Sequence[str]) -> Iterator[_Row]:
    """The rows of a store in a random order, each in those of the languages that it has."""
    held = {language: store.holds(np.arange(store.num_rows), language) for language in languages}
    usable = np.flatnonzero(np.sum(list(held.values()), axis=0) >= min(2, len(languages)))
    for row in np.random.default_rng(0).permutation(usable).tolist():
        present = [language for language in languages if held[language][row]]
        queries, passages = (store.texts([row] * len(present), side, present) for side in _SIDES)
        if list(map(normalised, queries)) != list(map(normalised, passages)):
            key = f"{name}:{store.ids([row])[0]}"
            yield _Row(key, dict(zip(present, queries, strict=True)), dict(zip(present, passages, strict=True)))


def _task(rows: Sequence[_Row], languages: Sequence[str]) -> RetrievalTask:
    """Ids are those of the rows; a passage that several rows share has the id of the first one."""
    # By language and normalised text: the id and text of each passage, and the rows that ask each query.
    passages: dict[str, dict[str, tuple[str, str]]] = {language: {} for language in languages}
    asking: dict[str, dict[str, list[_Row]]] = {language: {} for language in languages}
    for row in rows:
        for language, query in row.queries.items():
            text = row.passages[language]
            passages[language].setdefault(normalised(text), (f"{language}:{row.id}", text))
            asking[language].setdefault(normalised(query), []).append(row)

    def answers(rows: Sequence[_Row]) -> dict[str, int]:
        return {passages[language][normalised(text)][0]: 1 for row in rows for language, text in row.passages.items()}

    content = json.dumps([[row.id, row.queries, row.passages] for row in rows], sort_keys=True)
    return RetrievalTask(
        name="held_out",
        revision=content_hash(content)[:16],
        licence="that of the training data",
        note="Held-out rows of the training data, in its style and with its templates: to choose settings by. Only for "
        "models whose data.validation_fraction was at least this one.",
        queries={
            language: {row.id: row.queries[language] for row in rows if language in row.queries}
            for language in languages
        },
        passages={language: dict(of_language.values()) for language, of_language in passages.items()},
        qrels={
            language: {
                row.id: answers(asking[language][normalised(row.queries[language])])
                for row in rows
                if language in row.queries
            }
            for language in languages
        },
        settings=settings_of(languages),
    )

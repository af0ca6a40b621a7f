"""What a mining run shows: by source and language, how hard its negatives are and what was filtered."""

from collections.abc import Iterator, Mapping
from typing import Any

from mixlingua.report.plain_table import PlainTable
from mixlingua.retrieval.mining_filters import FILTERS

# source -> language of the query -> Tally.figures()
Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]


def mining_tables(figures: Figures, *, num_negatives: int, top_k: int, across_languages: bool) -> Iterator[PlainTable]:
    """A table of scores and filters and, where negatives come from several languages, one of these."""
    rows = [
        [source, language, f"{own['queries']:,}", f"{own['left_out']:,}", _score(own["mean_positive"]),
         _score(own["mean_negative"]), *(f"{own['removed'][name]:.1%}" for name in FILTERS)]
        for source, by_language in figures.items()
        for language, own in by_language.items()
    ]  # fmt: skip
    yield PlainTable(
        name="mining",
        title="Hard negatives",
        columns=["source", "query", "queries", "left out", "positive", "negatives", *FILTERS],
        rows=rows,
        labels=2,
        note=f"Left out: fewer than {num_negatives} negatives. Positive, negatives: mean scores of the others. "
        f"{', '.join(FILTERS)}: share of the first {top_k} passages that each filter took out.",
    )
    if across_languages:
        yield _languages(figures)


def _languages(figures: Figures) -> PlainTable:
    found = sorted({name for by in figures.values() for own in by.values() for name in own["negative_languages"]})
    rows = [
        [source, language, *(f"{own['negative_languages'].get(name, 0):.0%}" for name in found)]
        for source, by_language in figures.items()
        for language, own in by_language.items()
    ]
    return PlainTable(
        name="mining-languages", title="Languages of the negatives", columns=["source", "query", *found], rows=rows,
        labels=2,
    )  # fmt: skip


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

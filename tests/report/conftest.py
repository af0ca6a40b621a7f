"""Result rows with figures that can be worked out by hand."""

import pytest

from mixlingua.evaluation.results import ResultRow


@pytest.fixture
def before() -> list[ResultRow]:
    """de and en are trained on, el is not: mAP 0.6 within a language, 0.4 across, 0.2 where Greek is in it."""
    rows = []
    for query in ("de", "en", "el"):
        for passage in ("de", "en", "el"):
            setting = "monolingual" if query == passage else "crosslingual"
            value = 0.2 if "el" in (query, passage) else 0.6 if query == passage else 0.4
            rows.append(ResultRow("atlas", setting, query, passage, "map", value, 10))
        rows.append(
            ResultRow("atlas", "multilingual", query, "all", "rank_distance", 1200.0 if query == "el" else 600.0, 10)
        )
    return rows


@pytest.fixture
def after(before: list[ResultRow]) -> list[ResultRow]:
    """Every mAP 0.1 higher, every rank distance halved."""
    return [
        ResultRow(r.task, r.setting, r.query_language, r.passage_language, r.metric,
                  r.value / 2 if r.metric == "rank_distance" else r.value + 0.1, r.num_queries)
        for r in before
    ]  # fmt: skip

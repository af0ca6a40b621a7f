"""Results with figures that can be worked out by hand: rows, a run folder, a comparison."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mixlingua.comparison.compare import ComparisonRow, Difference
from mixlingua.evaluation.results import PerQueryTable, RankedPassage, ResultRow, TaskResult, WorstQuery
from mixlingua.evaluation.run_folder import write_results


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


HOSTILE = "<script>console.error('ran')</script><img src='https://example.org/x.png'>"


def result(gain: float) -> TaskResult:
    """Four parallel questions in Arabic, German and Vietnamese, ranked in three settings."""
    languages, ids = ("ar", "de", "vi"), [f"q{number}" for number in range(4)]
    pairs = [(query, passage) for query in languages for passage in languages if query != passage]

    def table(groups: Sequence[tuple[str, str]], **values: Sequence[float]) -> PerQueryTable:
        return PerQueryTable(
            ids * len(groups), [query for query, _ in groups for _ in ids], [pool for _, pool in groups for _ in ids],
            {name: np.array(list(part) * len(groups)) for name, part in values.items()},
        )  # fmt: skip

    quality = [value + gain for value in (0.1, 0.2, 0.3, 0.4)]
    tables = {
        "monolingual": table([(language, language) for language in languages], map=quality, recall_at_1=[0, 1, 1, 1]),
        "crosslingual": table(pairs, map=quality, recall_at_1=[0, 0, 0, 1]),
        "multilingual": table([(language, "all") for language in languages], map=quality, recall_at_1=[0, 0, 0, 1],
                              rank_distance=[2, 20 - 10 * gain, 200, 2000]),
    }  # fmt: skip
    about = {
        "revision": "r1", "licence": "CC0", "note": f"made by hand {HOSTILE}", "languages": list(languages),
        "num_queries": dict.fromkeys(languages, 4), "num_candidates": dict.fromkeys(languages, 9), "main_metric": "map",
        "files": {"ar.json": "ab" * 32},
    }  # fmt: skip
    worst = WorstQuery(
        "atlas", "crosslingual", "q0", "ar", "de", "ما هي عاصمة بيرو؟", "map", 0.1, 9, 1, 7,
        RankedPassage("d1", "de", f"Lima {HOSTILE}", 1, 0.81), RankedPassage("d2", "de", "Peru", 7, -0.25),
    )  # fmt: skip
    return TaskResult("atlas", about, tables, [worst])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a finished training run."""
    folder = tmp_path / "run"
    provenance = {
        "model": f"tiny {HOSTILE}", "seed": 3, "pretraining": "has seen SQuAD", "training_languages": ["ar", "de"],
        "data": ["atlas"], "sampler": {"_target_": "mixlingua.sampling.strategies.Hybrid", "alpha": 0.5},
        "batch_size": 48, "max_steps": 2, "step": 2, "num_parameters": 117_653_760,
    }  # fmt: skip
    write_results(folder, [result(0.0)], provenance, "before")
    write_results(folder, [result(0.25)], provenance)
    (folder / "config.yaml").write_text(f"seed: 3\nnote: {HOSTILE}\n")
    (folder / "csv").mkdir()
    (folder / "csv" / "metrics.csv").write_text(
        "step,batches/monolingual,batches/crosslingual,sources/atlas,train/monolingual,train/loss_crosslingual,"
        "train/loss_monolingual\n0,,,,0,2.5,\n1,,,,1,2.5,0.5\n2,,,,1,2.5,0.4\n3,,,,0,1.5,0.4\n4,0.5,0.5,1.0,,,\n"
    )
    return folder


def comparison_row(
    system: str, setting: str, metric: str, scope: str, languages: str, value: float, change: float | None
) -> ComparisonRow:
    """languages: as "de-en". change: to the baseline hybrid; significant above 0.05. hybrid has three seeds."""
    query, passage = languages.split("-")
    difference = None
    if change is not None:
        p_holm = 0.01 if abs(change) > 0.05 else 0.5
        difference = Difference(
            "hybrid", change, (change - 0.01, change + 0.01), None, p_holm / 2, p_holm, -0.4, 3, 2, 5
        )
    spread = (value - 0.02, value + 0.02) if system == "hybrid" else None
    seeds = 3 if system == "hybrid" else 1
    return ComparisonRow(
        system, "tiny_r", setting, metric, scope, query, passage, 10, seeds, value, (value - 0.1, value + 0.1), spread,
        difference,
    )  # fmt: skip


@pytest.fixture
def rows() -> list[ComparisonRow]:
    found = []
    for system, change in (("mixed", -0.1), ("hybrid", None)):
        base = 0.7 + (change or 0)
        found += [
            comparison_row(system, "crosslingual", "map", "average", "all-all", base - 0.1, change),
            comparison_row(system, "monolingual", "map", "average", "all-all", base, change),
            comparison_row(system, "multilingual", "rank_distance", "average", "all-all", 1234.5, change and 20.0),
            comparison_row(system, "monolingual", "map", "language", "de-all", base, change),
            comparison_row(system, "crosslingual", "map", "language", "de-all", base - 0.1, change),
            comparison_row(system, "monolingual", "map", "pair", "de-de", base, change),
            comparison_row(system, "crosslingual", "map", "pair", "de-en", base, change),
            comparison_row(system, "crosslingual", "map", "pair", "en-de", base, change and 0.01),
        ]
    return found

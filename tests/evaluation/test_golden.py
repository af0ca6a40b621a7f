"""The embedded weights on the real XQuAD-R, against figures that were computed independently of this project."""

import json
from pathlib import Path

import pytest
from hydra.utils import instantiate

from mixlingua.cli.configuration import compose
from mixlingua.evaluation.suite import evaluate_encoder


@pytest.mark.slow
def test_e5_small_q4_on_xquad_r(shared_data: Path) -> None:
    file = shared_data.parent / "reference" / "xquad_r_e5_small_q4.json"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    golden = json.loads(file.read_text(encoding="utf-8"))
    cfg = compose(["model=e5_small_q4", "evaluation=xquad_r", f"paths.data={shared_data}"])
    encoder = instantiate(cfg.model).load(seed=0)
    task = instantiate(cfg.evaluation.tasks.xquad_r)
    (result,) = evaluate_encoder(encoder, [task], token_budget=cfg.evaluation.token_budget, precision="32-true")
    values = {(row.setting, row.query_language, row.passage_language, row.metric): row.value for row in result.rows}

    for query, cells in golden["map_rows_query_columns_corpus"].items():
        for passage, expected in cells.items():
            setting = "monolingual" if query == passage else "crosslingual"
            assert values[setting, query, passage, "map"] == pytest.approx(expected, abs=0.002), f"{query}->{passage}"
    for query, expected in golden["multilingual_map_by_query_language"].items():
        assert values["multilingual", query, "all", "map"] == pytest.approx(expected, abs=0.002), query
    for query, expected in golden["rank_distance_by_query_language"].items():
        assert values["multilingual", query, "all", "rank_distance"] == pytest.approx(expected, rel=0.01), query
    averages = result.aggregate()
    assert averages["xquad_r/monolingual/map"] == pytest.approx(golden["monolingual_map"], abs=0.002)
    assert averages["xquad_r/crosslingual/map"] == pytest.approx(golden["crosslingual_map"], abs=0.002)

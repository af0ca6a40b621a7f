"""Writes the result tables of the pages from docs/results/*.csv: python docs/scripts/tables.py

A page holds a table between `<!-- table: NAME -->` and `<!-- /table -->`. TABLES says which file, rows and columns it
has. Every figure is printed as the file has it, except that whole numbers get thousands separators.
"""

import csv
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "docs" / "results"
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)

Row = dict[str, str]
Column = tuple[str, str]  # heading, and the cell as a format string over the fields of a row

FIGURES: list[Column] = [
    ("mono mAP", "{mono_map}"),
    ("cross mAP", "{cross_map}"),
    ("multi mAP", "{multi_map}"),
    ("rank distance", "{rank_distance}"),
]
OVER_SEEDS: list[Column] = [(title, f"{cell} ± {cell.replace('}', '_half_interval}')}") for title, cell in FIGURES]
ZERO_SHOT: Column = (
    "el, vi: mono / cross / multi / rank distance",
    "{zero_shot_mono_map} / {zero_shot_cross_map} / {zero_shot_multi_map} / {zero_shot_rank_distance}",
)


BEST = {
    "untrained", "earlier best_small", "questions run alone, languages projected out",
    "alignment run alone, languages projected out", "recipe before: mean of three seeds",
    "best_small: mean of three seeds", "best_small_long, seed 0", "best_small_long, seed 1", "the paper's XLM-R",
    "the paper's LaBSE",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows of one CSV file as a Markdown table; the columns after the first `text_columns` are right-aligned."""

    file: str
    columns: list[Column]
    rows: Callable[[Row], bool] = lambda row: True
    text_columns: int = 1

    def markdown(self) -> str:
        with (RESULTS / f"{self.file}.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if self.rows(row)]
        align = ["---" if index < self.text_columns else "---:" for index in range(len(self.columns))]
        lines = [
            [heading for heading, _ in self.columns],
            align,
            *([_cell(c, row) for _, c in self.columns] for row in rows),
        ]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(template: str, row: Row) -> str:
    """The template filled in, without ± where there is no interval; empty where the row has none of its values."""
    names = re.findall(r"\{(\w+)\}", template)
    if not any(row[name] for name in names):
        return ""
    return template.format(**{name: _with_separators(row[name]) for name in names}).removesuffix(" ± ")


def _with_separators(value: str) -> str:
    return f"{int(value):,}" if re.fullmatch(r"-?\d{4,}", value) else value


def _interval(metric: str) -> str:
    return "{" + metric + "} ({" + metric + "_low} to {" + metric + "_high}), p {" + metric + "_p}"


TABLES = {
    "readme": Table("claim", [("batches", "{batches}"), *FIGURES], lambda row: row["set_up"] == "questions"),
    "claim": Table("claim", [("set-up", "{set_up}"), ("batches", "{batches}"), *OVER_SEEDS], text_columns=2),
    "claim_short": Table(
        "claim",
        [("set-up", "{set_up}"), ("batches", "{batches}"), *OVER_SEEDS],
        lambda row: row["set_up"] != "new upper half",
        text_columns=2,
    ),
    "claim_tests": Table(
        "claim_tests",
        [
            ("set-up", "{set_up}"),
            ("figure", "{figure}"),
            ("hybrid against", "{parent}"),
            ("paper: XLM-R, LaBSE", "{xlmr}, {labse}"),
            ("difference", "{difference}"),
            ("p after Holm", "{p_holm}"),
            ("over seeds", "{seeds_low} to {seeds_high}"),
            ("", "{verdict}"),
        ],
        text_columns=3,
    ),
    "samplers": Table(
        "samplers", [("training data", "{training_data}"), ("batches", "{batches}"), *FIGURES], text_columns=2
    ),
    "samplers_seen": Table(
        "samplers",
        [
            ("training data", "{training_data}"),
            ("batches", "{batches}"),
            (
                "seen: mono / cross / multi / rank distance",
                "{seen_mono_map} / {seen_cross_map} / {seen_multi_map} / {seen_rank_distance}",
            ),
            ZERO_SHOT,
        ],
        lambda row: row["batches"] != "untrained",
        text_columns=2,
    ),
    "samplers_differences": Table(
        "samplers_differences",
        [
            ("training data", "{training_data}"),
            ("difference", "{difference}"),
            ("mono mAP", _interval("mono_map")),
            ("cross mAP", _interval("cross_map")),
        ],
        text_columns=2,
    ),
    "samplers_differences_multilingual": Table(
        "samplers_differences",
        [
            ("training data", "{training_data}"),
            ("difference", "{difference}"),
            ("multi mAP", _interval("multi_map")),
            ("rank distance", _interval("rank_distance")),
        ],
        text_columns=2,
    ),
    "best": Table(
        "best_small",
        [("model", "{model}"), *FIGURES],
        lambda row: row["model"] in BEST,
    ),
    "development": Table("development", [("model", "{model}"), *FIGURES]),
    "steps": Table(
        "steps",
        [
            ("run", "{run}"),
            ("steps", "{steps}"),
            ("development: mono / cross / multi", "{dev_mono_map} / {dev_cross_map} / {dev_multi_map}"),
            ("distance", "{dev_rank_distance}"),
            ("XQuAD-R: mono / cross / multi", "{mono_map} / {cross_map} / {multi_map}"),
            ("distance", "{rank_distance}"),
        ],
    ),
    "public": Table(
        "public",
        [
            ("benchmark", "{benchmark}"),
            ("languages", "{languages}"),
            ("figure", "{figure}"),
            ("untrained", "{untrained}"),
            ("best_small", "{best_small}"),
        ],
        text_columns=3,
    ),
    "recipe_runs": Table("recipes", [("run", "{model}"), *FIGURES], lambda row: row["kind"] == "run"),
    "recipe_averages": Table(
        "recipes", [("averaged 2:1 where nothing is said", "{model}"), *FIGURES], lambda row: row["kind"] == "average"
    ),
    "recipe_short": Table(
        "recipes", [("alignment of 200 steps, seed 1", "{model}"), *FIGURES], lambda row: row["kind"] == "short"
    ),
    "recipe_batches": Table(
        "recipes", [("batches, seed 1", "{model}"), *FIGURES], lambda row: row["kind"] == "batches"
    ),
    "recipe_retention": Table(
        "recipes", [("batches of 192, seed 0", "{model}"), *FIGURES], lambda row: row["kind"] == "retention"
    ),
    "recipe_starts": Table("recipes", [("averaged, seed 1", "{model}"), *FIGURES], lambda row: row["kind"] == "starts"),
    "recipe_alpha": Table("recipes", [("seed 1, 2:1", "{model}"), *FIGURES], lambda row: row["kind"] == "alpha"),
    "recipe_weights": Table("recipes", [("seed 1, 2:1", "{model}"), *FIGURES], lambda row: row["kind"] == "weights"),
    "recipe_halves": Table(
        "development_halves",
        [("text", "{half}"), ("model", "{model}"), *FIGURES],
        text_columns=2,
    ),
    "recipe_queue_200": Table(
        "recipes", [("alignment after 200 steps, seed 1", "{model}"), *FIGURES], lambda row: row["kind"] == "queue_200"
    ),
    "recipe_queue": Table("recipes", [("600 steps, seed 1", "{model}"), *FIGURES], lambda row: row["kind"] == "queue"),
    "recipe_further": Table("recipes", [("seed 1", "{model}"), *FIGURES], lambda row: row["kind"] == "further"),
    "recipe_after": Table("recipes", [("best_small, seed 0", "{model}"), *FIGURES], lambda row: row["kind"] == "after"),
    "recipe_tokens": Table(
        "recipes",
        [("model", "{model}"), ("seed", "{seed}"), *FIGURES],
        lambda row: row["kind"] == "tokens",
    ),
    "best_small": Table("best_small", [("model", "{model}"), *FIGURES]),
    "passage_transforms": Table(
        "passage_transforms",
        [("model", "{model}"), ("passage transforms", "{passage_transforms}"), *FIGURES],
        text_columns=2,
    ),
    "passage_transforms_zero_shot": Table(
        "passage_transforms",
        [("model", "{model}"), ("passage transforms", "{passage_transforms}"), ZERO_SHOT],
        text_columns=2,
    ),
    "layer_share": Table(
        "layer_share", [("share of the last but one layer", "{share_of_last_but_one}"), *FIGURES], text_columns=0
    ),
    "retention": Table("retention", [("model", "{model}"), *FIGURES]),
    "methods": Table("methods", [("method", "{method}"), *FIGURES]),
    "methods_zero_shot": Table(
        "methods", [("method", "{method}"), ZERO_SHOT], lambda row: row["method"] != "untrained"
    ),
    "alpha": Table(
        "methods",
        [("batches", "{method}"), *FIGURES],
        lambda row: row["method"].startswith(("InfoNCE on", "hybrid batches", "monolingual")),
    ),
    "methods_three_seeds": Table(
        "methods_three_seeds",
        [
            ("difference", "{difference}"),
            ("mono mAP", "{mono_map} (p {mono_map_p})"),
            ("cross mAP", "{cross_map} (p {cross_map_p})"),
            ("multi mAP", "{multi_map} (p {multi_map_p})"),
            ("rank distance", "{rank_distance} (p {rank_distance_p})"),
        ],
    ),
    "best_small_parts": Table(
        "best_small_parts",
        [
            ("recipe", "{recipe}"),
            *FIGURES,
            ("joined: multi mAP / rank distance", "{joined_multi_map} / {joined_rank_distance}"),
        ],
    ),
    "atlas_untrained": Table(
        "atlas_samplers", [("batches", "{batches}"), *FIGURES], lambda row: row["batches"] == "untrained"
    ),
    "atlas_samplers": Table(
        "atlas_samplers",
        [
            ("batches", "{batches}"),
            *OVER_SEEDS,
        ],
        lambda row: row["batches"] != "untrained",
    ),
    "atlas_differences": Table(
        "atlas_differences",
        [
            ("difference", "{difference}"),
            ("metric", "`{metric}`"),
            ("mean", "{mean}"),
            ("95 % over questions", "{questions_low} to {questions_high}"),
            ("95 % over seeds", "{seeds_low} to {seeds_high}"),
            ("p, Holm", "{p_holm}"),
        ],
        text_columns=2,
    ),
    "settings": Table(
        "settings",
        [
            ("training data", "{training_data}"),
            ("batches", "{batches}"),
            ("steps", "{steps}"),
            ("lr", "{learning_rate}"),
            ("dropout", "{dropout}"),
            ("include", "{include_query}"),
            ("share", "{start_share}"),
            ("mono", "{mono_map}"),
            ("cross", "{cross_map}"),
            ("multi", "{multi_map}"),
            ("distance", "{rank_distance}"),
        ],
        text_columns=2,
    ),
    "temperature": Table(
        "temperature",
        [
            ("model", "{model}"),
            ("temperature", "{temperature}"),
            ("dropout", "{dropout}"),
            ("span", "{span}"),
            ("include", "{include_query}"),
            *FIGURES,
        ],
    ),
    "ntrex_untrained": Table(
        "passage_transforms_ntrex",
        [("passages kept", "{passages_kept}"), ("passage transform", "{passage_transforms}"), *FIGURES],
        lambda row: row["model"] == "untrained",
        text_columns=2,
    ),
    "ntrex_trained": Table(
        "passage_transforms_ntrex",
        [("passages kept", "{passages_kept}"), ("passage transform", "{passage_transforms}"), *FIGURES],
        lambda row: row["model"] != "untrained",
        text_columns=2,
    ),
}


def filled(page: str) -> str:
    """The page with every marked table as the data files have it; a KeyError names a table that TABLES lacks."""
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]].markdown()}{match[3]}", page)


def main() -> None:
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.relative_to(REPOSITORY)}: tables written", file=sys.stderr)


if __name__ == "__main__":
    main()

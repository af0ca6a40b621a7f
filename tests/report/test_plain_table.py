"""A table as terminal text, Markdown and LaTeX."""

import io

import pytest
from rich.console import Console

from mixlingua.report.plain_table import PlainTable, escaped_latex, figure_text, latex, markdown, metric_name, minus

TABLE = PlainTable(
    name="quality",
    title="Quality (mAP ↑)",
    columns=["", "xquad_r"],
    rows=[["a_b & 50%", "0.763 ±0.012*"], ["[c]|d", "-0.1"]],
    labels=1,
    note="A <note>.",
)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50% #1 $x$", r"a\_b \& 50\% \#1 \$x\$"),
        (r"\{~^}", r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}\}"),
        ("de->en", r"de-\textgreater{}en"),
        ("0.1 ±0.2", r"0.1 $\pm$0.2"),
        ("-0.25", "$-$0.25"),
        ("-", "-"),
        ("[0, 1] %", r"{[}0, 1] \%"),
    ],
)
def test_latex_escapes(text: str, escaped: str) -> None:
    assert escaped_latex(text) == escaped


def test_latex_is_booktabs() -> None:
    text = latex([TABLE], "Title", ["note 50%"])
    assert [line for line in text.splitlines() if line.startswith(r"\toprule")] == [r"\toprule"]
    assert r"a\_b \& 50\% & 0.763 $\pm$0.012* \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert r"\label{tab:quality}" in text
    assert "% note 50%" in text
    assert text.count("{") == text.count("}")


def test_the_label_of_a_table_has_letters_alone() -> None:
    assert r"\label{tab:a-5-of-b}" in latex([PlainTable("a#5%of%b", "P", ["a"], [["1"]], 0)], "", [])


def test_long_tables_are_longtables() -> None:
    text = latex([PlainTable("p", "P", ["a"], [["1"]], 0, long=True)], "Title", [])
    assert r"\begin{longtable}{r}" in text
    assert r"\endhead" in text
    assert r"\begin{table}" not in text


def test_markdown_cells_hold_no_markup() -> None:
    text = markdown([TABLE], "Title", ["a note"])
    assert r"| a\_b & 50% | 0.763 ±0.012\* |" in text
    assert r"| [c]\|d | -0.1 |" in text
    assert "| --- | ---: |" in text
    assert r"A \<note>." in text
    assert "- a note" in text


def printed(table: PlainTable, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_terminal_tables_show_brackets() -> None:
    shown = printed(TABLE, 60)
    assert "[c]|d" in shown
    assert "0.763 ±0.012*" in shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_column_is_shown_whole_whatever_the_width(width: int) -> None:
    labels = ["model=folder model.name_or_path=outputs/2026-11-27/long/model", "hybrid - mixed"]
    columns = [f"column {number}" for number in range(12)]
    figures = [[f"{line}.{number:04d} to {number}" for number in range(12)] for line in (1, 2)]
    rows = [[label, *cells] for label, cells in zip(labels, figures, strict=True)]
    shown = printed(PlainTable("t", "T", ["systems", *columns], rows, labels=1, note="The note."), width)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "…" not in shown
    assert all(cell in shown for cells in figures for cell in cells)
    assert shown.count("systems") == shown.count("hybrid") > 12 // (width // 15) - 1, "labels are in every part"
    assert shown.count("The note.") == shown.count("T\n") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [("-0.1 to -.05", "−0.1 to −.05"), ("1e-05", "1e-05"), ("e5-small", "e5-small"), ("a - b", "a - b"), ("-", "-")],
)
def test_minus_signs(text: str, shown: str) -> None:
    assert minus(text) == shown


def test_arrows_point_to_where_docs_say_the_better_is() -> None:
    arrows = {
        "map": "mAP ↑", "recall_other_at_10": "recall other@10 ↑", "complete_at_100": "complete@100 ↑",
        "rank_distance": "rank distance ↓", "normalised_max_rank": "normalised max rank ↓",
        "language_divergence_at_10": "language divergence@10 ↓", "recall_at_1_gap": "recall@1 gap ↓",
        "success_at_20_std": "success@20 std ↓", "map_drop_without_own": "map drop without own",
        "own_language_excess_at_10": "own language excess@10", "share_of_de_at_10": "share of de@10",
    }  # fmt: skip
    assert {metric: metric_name(metric) for metric in arrows} == arrows


@pytest.mark.parametrize(
    ("metric", "value", "sign", "text"),
    [("map", -0.0004, "+", "0.000"), ("map", 0.0004, "+", "0.000"), ("map", -0.0006, "+", "-0.001"),
     ("rank_distance", -0.4, "+", "0"), ("rank_distance", -1234.5, "+", "-1,234"),
     ("map_drop_without_own", -1e-9, "", "0.000")],
)  # fmt: skip
def test_what_is_shown_as_zero_has_no_sign(metric: str, value: float, sign: str, text: str) -> None:
    assert figure_text(metric, value, sign=sign) == text

"""A table as terminal text, Markdown and LaTeX."""

import io

import pytest
from rich.console import Console

from mixlingua.report.page import PlainTable, escaped_latex, latex, markdown, rich_table

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


def test_terminal_tables_show_brackets() -> None:
    console = Console(file=io.StringIO(), width=60)
    console.print(rich_table(TABLE))
    shown = console.file.getvalue()
    assert "[c]|d" in shown
    assert "0.763 ±0.012*" in shown

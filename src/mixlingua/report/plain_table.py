"""One table of text, in every form that a reader may want: terminal, Markdown, LaTeX."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class PlainTable:
    """name: for references, letters and hyphens. labels: how many leading columns are text, aligned left.

    long: too long for a terminal; it is only written to files.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int
    note: str = ""
    long: bool = False


def rich_table(table: PlainTable) -> Table:
    """The table for a terminal."""
    shown = Table(
        title=table.title, title_justify="left", caption=Text(table.note), caption_justify="left", box=box.SIMPLE_HEAD,
        show_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        if index < table.labels:  # may wrap between words, but never vanish
            widest = max((len(word) for cell in cells for word in cell.split()), default=0)
        else:
            widest = max(map(len, cells), default=0)
        shown.add_column(Text(column), justify="left" if index < table.labels else "right", min_width=widest)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def markdown(tables: Iterable[PlainTable], title: str, notes: Sequence[str]) -> str:
    """A Markdown document."""
    parts = [f"# {title}", *(["\n".join(f"- {_escaped_markdown(note)}" for note in notes)] if notes else [])]
    for table in tables:
        rule = ["---" if index < table.labels else "---:" for index in range(len(table.columns))]
        lines = [table.columns, rule, *table.rows]
        body = "\n".join(f"| {' | '.join(map(_escaped_markdown, line))} |" for line in lines)
        parts += [f"## {table.title}", body, *([_escaped_markdown(table.note)] if table.note else [])]
    return "\n\n".join(parts) + "\n"


def latex(tables: Iterable[PlainTable], title: str, notes: Sequence[str]) -> str:
    """LaTeX for \\input: a `table` each, a `longtable` for the long ones; needs booktabs and longtable."""
    lines = [f"% {line}" for line in (title, r"\usepackage{booktabs,longtable}", *notes)]
    return "\n\n".join(["\n".join(lines), *map(_latex_table, tables)]) + "\n"


def _latex_table(table: PlainTable) -> str:
    form = "l" * table.labels + "r" * (len(table.columns) - table.labels)
    header, *body = (" & ".join(map(escaped_latex, row)) + r" \\" for row in (table.columns, *table.rows))
    caption = f"\\caption{{{escaped_latex(' '.join(filter(None, (table.title + '.', table.note))))}}}"
    label = f"\\label{{tab:{table.name}}}"
    if table.long:
        head = [
            rf"\begin{{longtable}}{{{form}}}",
            rf"{caption}{label}\\",
            r"\toprule",
            header,
            r"\midrule",
            r"\endhead",
        ]
        return "\n".join([*head, *body, r"\bottomrule", r"\end{longtable}"])
    head = [r"\begin{table}", r"\centering", caption, label, rf"\begin{{tabular}}{{{form}}}", r"\toprule", header]
    return "\n".join([*head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "→": r"$\to$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def escaped_latex(text: str) -> str:
    """Text as LaTeX prints it; a sign before a number becomes a minus sign."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return f"$-${escaped[1:]}" if text[:1] == "-" and text[1:2].isdigit() else escaped


def _escaped_markdown(text: str) -> str:
    for character in "\\|*_<":
        text = text.replace(character, f"\\{character}")
    return text

"""A table of texts in a terminal, in Markdown and in LaTeX, and how metrics and settings are called in it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.results import LOWER_IS_BETTER, RANK_DISTANCE, ZERO_IS_BEST, share_language

CHANGE = "change"  # the heading of a column of differences, of which those above 0 are for the better
_WIDEST_WORD = 24  # of a label in a terminal: longer words are broken


@dataclass(frozen=True)
class PlainTable:
    """Printed by rich, it shows every column at any width: where they do not fit side by side, in several parts.

    name: for references, letters and hyphens. labels: how many leading columns are text, aligned left.
    long: too long for a terminal; it is only written to files.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int
    note: str = ""
    long: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = [self._least_width(index) for index in range(len(self.columns))]
        labels, columns = list(range(self.labels)), list(range(self.labels, len(self.columns)))
        yield Text(self.title, style="italic")
        while True:
            count = len(columns)
            while count > 1 and sum(least[i] + 2 for i in [*labels, *columns[:count]]) - 2 > options.max_width:
                count -= 1
            yield self._part([*labels, *columns[:count]], least)
            columns = columns[count:]
            if not columns:
                break
            yield Text()
        if self.note:
            yield Text(self.note, style="dim italic")

    def _least_width(self, index: int) -> int:
        """Labels may wrap between words, and in long ones; so may headings. Figures may not."""
        cells = [row[index] for row in self.rows]
        words = " ".join([self.columns[index], *(cells if index < self.labels else [])]).split()
        figures = [] if index < self.labels else cells
        return max([1, *map(len, figures), *(min(len(word), _WIDEST_WORD) for word in words)])

    def _part(self, columns: Sequence[int], least: Sequence[int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
        for index in columns:
            heading = Text(fill(self.columns[index], least[index], break_on_hyphens=False))
            if index < self.labels:
                table.add_column(heading, min_width=least[index], overflow="fold")
            else:
                table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(row[index], style=_style(self.columns[index], row[index])) for index in columns))
        return table


def _style(column: str, cell: str) -> str:
    return {"+": "green", "-": "red"}.get(cell[:1], "") if column == CHANGE else ""


def markdown(tables: Iterable[PlainTable], title: str, notes: Sequence[str]) -> str:
    """A Markdown document."""
    parts = [f"# {title}", *(["\n".join(f"- {_escaped_markdown(note)}" for note in notes)] if notes else [])]
    for table in tables:
        rule = ["---" if index < table.labels else "---:" for index in range(len(table.columns))]
        lines = [table.columns, rule, *table.rows]
        body = "\n".join(f"| {' | '.join(map(_escaped_markdown, line))} |" for line in lines)
        parts += [f"## {table.title}", body, *([_escaped_markdown(table.note)] if table.note else [])]
    return "\n\n".join(parts) + "\n"


def _escaped_markdown(text: str) -> str:
    return re.sub(r"([\\|*_<])", r"\\\1", text)


def latex(tables: Iterable[PlainTable], title: str, notes: Sequence[str]) -> str:
    """LaTeX for \\input: a `table` each, a `longtable` for the long ones; needs booktabs and longtable."""
    lines = [f"% {line}" for line in (title, r"\usepackage{booktabs,longtable}", *notes)]
    return "\n\n".join(["\n".join(lines), *map(_latex_table, tables)]) + "\n"


def _latex_table(table: PlainTable) -> str:
    form = "l" * table.labels + "r" * (len(table.columns) - table.labels)
    header, *body = (" & ".join(map(escaped_latex, row)) + r" \\" for row in (table.columns, *table.rows))
    caption = f"\\caption{{{escaped_latex(' '.join(filter(None, (table.title + '.', table.note))))}}}"
    caption += f"\\label{{tab:{re.sub(r'[^a-zA-Z0-9_-]', '-', table.name)}}}"
    if table.long:
        begin = [rf"\begin{{longtable}}{{{form}}}", rf"{caption}\\", r"\toprule", header, r"\midrule", r"\endhead"]
        end = [r"\bottomrule", r"\end{longtable}"]
    else:
        begin = [r"\begin{table}", r"\centering", caption, rf"\begin{{tabular}}{{{form}}}", r"\toprule", header]
        begin.append(r"\midrule")
        end = [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join([*begin, *body, *end])


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "→": r"$\to$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def escaped_latex(text: str) -> str:
    """Text as LaTeX prints it; a sign before a number becomes a minus sign."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    if text[:1] == "[":  # in the first cell it would be an argument of the line break before it
        return f"{{[}}{escaped[1:]}"
    return f"$-${escaped[1:]}" if text[:1] == "-" and text[1:2].isdigit() else escaped


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w.)])-(?=\.?\d)", "\N{MINUS SIGN}", text)


def plain_name(metric: str) -> str:
    """Such as "mAP" for "map", "recall@10" for "recall_at_10" and "nDCG@10" for "ndcg_at_10"."""
    name = {"map": "mAP"}.get(metric, metric.replace("_at_", "@").replace("_", " "))
    return name.replace("ndcg@", "nDCG@").replace("mrr@", "MRR@")


def metric_name(metric: str) -> str:
    """Its plain name with an arrow to where the better is, such as "mAP ↑"; without one where 0 is best, or nothing."""
    if metric in ZERO_IS_BEST or share_language(metric):
        return plain_name(metric)
    return f"{plain_name(metric)} {'↓' if metric in LOWER_IS_BETTER else '↑'}"


def figure_text(metric: str, value: float, *, digits: int = 3, ranks: int = 0, sign: str = "") -> str:
    """A value of a metric with so many digits; with `ranks` digits where it counts ranks. sign: "+" for a change."""
    return number_as(f"{sign},.{ranks if metric == RANK_DISTANCE else digits}f", value)


def number_as(form: str, value: float) -> str:
    """A number in a format, such as "+.3f"; what is 0 in it has no sign."""
    text = f"{value:{form}}"
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")


def spoken(name: str) -> str:
    """The name of a setting or of a kind of batch as prose has it."""
    return {"crosslingual": "cross-lingual"}.get(name, name)

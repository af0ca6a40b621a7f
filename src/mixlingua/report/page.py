"""HTML pages: one self-contained file each, without scripts, written whole."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.data.cut_texts import Cut
from mixlingua.files import atomic_write
from mixlingua.languages import language_name


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


# Keys of a run's provenance in the order of the page, and what they are called; others follow under their own name.
_NAMES = {
    "model": "Model", "revision": "Revision of the model", "weights": "SHA-256 of the encoder before training",
    "num_parameters": "Parameters", "pretraining": "Pretrained on", "seed": "Seed", "average": "Averages",
    "step": "Steps trained", "max_steps": "Steps planned", "batch_size": "Pairs per step", "sampler": "Batches",
    "final_weights": "Weights at the end",
    "data": "Training data", "num_rows": "Training rows", "training_languages": "Training languages",
    "adapter": "Adapter", "postprocess": "Layer fitted afterwards", "precision": "Precision", "hardware": "Hardware",
    "commit": "Commit", "mixlingua": "mixlingua", "python": "Python", "packages": "Packages",
}  # fmt: skip


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What decided a run: name and text. That of the tasks' data has a table of its own."""
    keys = [*(key for key in _NAMES if key in provenance), *(key for key in provenance if key not in _NAMES)]
    known = ((_NAMES.get(key, key), plain_text(provenance[key])) for key in keys if key not in ("tasks", "cut"))
    return [(name, text) for name, text in known if text]


def choice_text(chosen: Mapping[str, Any]) -> str:
    """What was chosen of a group, such as "hybrid (alpha 0.5, exponent 1.0)"."""
    name = str(chosen.get("_target_", "")).rpartition(".")[2].lower()
    settings = ", ".join(f"{key} {value}" for key, value in chosen.items() if key != "_target_")
    return f"{name} ({settings})" if settings else name


def plain_text(value: Any) -> str:
    """A value of the provenance for a reader; empty for None."""
    if isinstance(value, Mapping):
        return choice_text(value) if "_target_" in value else ", ".join(
            f"{key} {plain_text(inner)}" for key, inner in value.items()
        )  # fmt: skip
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain_text, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if value >= 10_000 else str(value)
    return "" if value is None else str(value)


def cut_notes(provenance: Mapping[str, Any]) -> list[str]:
    """What a run has to say of texts that were longer than the model reads: in training, then in each benchmark."""
    trained = provenance.get("cut", {})
    notes = [(f"trained on {name}", side, cut, True) for name, sides in trained.items() for side, cut in sides.items()]
    for name, about in provenance["tasks"].items():
        notes += [(name, side, cut, False) for side, cut in about.get("cut", {}).items()]
    said = ((name, Cut(**cut).note(side, sampled)) for name, side, cut, sampled in notes)
    return [f"{name}: {note}." for name, note in said if note]


def data_rows(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Benchmark -> what its data are: revision, licence, what to know of them, languages and sizes."""
    return {task: [(name, text) for name, text in _described(about) if text] for task, about in tasks.items()}


def _described(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Revision", plain_text(about.get("revision"))
    yield "Licence", plain_text(about.get("licence"))
    yield "Note", plain_text(about.get("note"))
    yield "Languages", " ".join(about.get("languages", ()))
    yield "Queries", _total(about.get("num_queries"))
    yield "Candidates", _total(about.get("num_candidates"))


def file_rows(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every file that a benchmark was read from."""
    for task, about in tasks.items():
        for name, digest in about.get("files", {}).items():
            yield f"{task} {name}", str(digest)


def _total(number: Any) -> str:
    if number is None:
        return ""
    return f"{sum(number.values()) if isinstance(number, Mapping) else number:,}"


def write_page(path: Path, template: str, content: Mapping[str, object]) -> Path:
    """Render a template of `templates/`; every text is escaped. Returns the path."""
    environment = Environment(
        loader=PackageLoader("mixlingua.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"minus": minus, "language_name": language_name, "metric_name": plain_name, "spoken": spoken}
    text = environment.get_template(template).render(content)
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w.)])-(?=\.?\d)", "\N{MINUS SIGN}", text)


def plain_name(metric: str) -> str:
    """Such as "mAP" for "map", "recall@10" for "recall_at_10" and "nDCG@10" for "ndcg_at_10"."""
    name = {"map": "mAP"}.get(metric, metric.replace("_at_", "@").replace("_", " "))
    return name.replace("ndcg@", "nDCG@").replace("mrr@", "MRR@")


def spoken(name: str) -> str:
    """The name of a setting or of a kind of batch as prose has it."""
    return {"crosslingual": "cross-lingual"}.get(name, name)

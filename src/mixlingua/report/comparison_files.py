"""comparison.md, .tex, .csv and .json: the same rows for readers, papers, spreadsheets and programs."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixlingua.evaluation.comparison_rows import ComparisonRow
from mixlingua.files import atomic_write
from mixlingua.report.plain_table import PlainTable, latex, markdown


def write_comparison(
    run_dir: Path,
    rows: Sequence[ComparisonRow],
    tables: Sequence[PlainTable],
    provenance: Mapping[str, object],
    notes: Sequence[str],
) -> list[Path]:
    """Write the four files, each whole, and return their paths. provenance: plain values, for comparison.json."""
    title = "Comparison of runs"
    texts = {
        "md": markdown(tables, title, notes),
        "tex": latex(tables, title, notes),
        "json": json.dumps(
            {"provenance": {**provenance, "notes": list(notes)}, "rows": [row.plain() for row in rows]},
            indent=1, ensure_ascii=False, allow_nan=False,
        ) + "\n",
    }  # fmt: skip
    for suffix, text in texts.items():
        with atomic_write(run_dir / f"comparison.{suffix}") as partial:
            partial.write_text(text, encoding="utf-8")
    lines = [flat(row) for row in rows]
    with (
        atomic_write(run_dir / "comparison.csv") as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return [run_dir / f"comparison.{suffix}" for suffix in ("md", "tex", "csv", "json")]


def flat(row: ComparisonRow) -> dict[str, object]:
    """A row as one line: intervals are two columns, the difference's fields stand beside the others (None without)."""
    plain = row.plain()
    difference = plain.pop("difference")
    names = ("baseline", "value", "interval", "seeds_interval", "p_value", "p_holm", "effect_size", "better", "equal",
             "worse")  # fmt: skip
    own = {"value": "difference", "interval": "difference_interval", "seeds_interval": "difference_seeds_interval"}
    for name in names:
        plain[own.get(name, name)] = difference[name] if isinstance(difference, dict) else None
    line: dict[str, object] = {}
    for name, value in plain.items():
        if name.endswith("interval"):
            low, high = value if isinstance(value, tuple) else (None, None)
            prefix = name.removesuffix("interval")
            line |= {f"{prefix}low": low, f"{prefix}high": high}
        else:
            line[name] = value
    return line
